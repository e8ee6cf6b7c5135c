-- begin: read
-- Nothing; sent where psycopg begins a transaction before the first statement in it.
SELECT
