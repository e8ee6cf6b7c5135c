-- release_savepoint: transaction
-- Forget the newest savepoint of this name, after a rollback to it too.
RELEASE SAVEPOINT pgqueue_atomic
