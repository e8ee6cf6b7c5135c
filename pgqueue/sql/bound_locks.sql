-- bound_locks: settings
-- End statements of this transaction that wait longer for a lock.
SELECT set_config('lock_timeout', %(timeout)s, true)
