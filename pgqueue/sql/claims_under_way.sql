-- claims_under_way: read
-- Transactions that write leases and have not ended, after a pause of some seconds; only
-- those asked for, if any were. A claim that looked before a pause is among them.
SELECT l.virtualtransaction
FROM pg_sleep(%(pause)s) CROSS JOIN pg_locks l
WHERE l.relation = 'pgqueue.lease'::regclass AND l.mode = 'RowExclusiveLock'
    AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
    AND l.pid <> pg_backend_pid()
    AND (%(asked)s::text[] IS NULL OR l.virtualtransaction = ANY(%(asked)s))
