-- begin_transaction: transaction
-- On a caller's connection that commits by itself, for an operation of several statements.
BEGIN
