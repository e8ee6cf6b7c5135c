-- rollback_to_savepoint: transaction
-- Take back what was done since the savepoint; the caller may go on after it.
ROLLBACK TO SAVEPOINT pgqueue_atomic
