-- savepoint: transaction
-- In a caller's transaction; its name may hide one of the same name, which comes back.
SAVEPOINT pgqueue_atomic
