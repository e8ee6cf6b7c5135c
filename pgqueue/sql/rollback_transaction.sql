-- rollback_transaction: transaction
-- Ends only what begin_transaction began, never a caller's transaction.
ROLLBACK
