-- writers_under_way: read
-- Transactions that may write events and have not ended; only those asked for, if any
-- were. A statement locks `event` before it looks whether the queue is followed, so who
-- looked too early is among them.
SELECT l.virtualtransaction FROM pg_locks l
WHERE l.relation = 'pgqueue.event'::regclass AND l.mode = 'RowExclusiveLock'
    AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
    AND l.pid IS DISTINCT FROM pg_backend_pid()
    AND (%(asked)s::text[] IS NULL OR l.virtualtransaction = ANY(%(asked)s))
