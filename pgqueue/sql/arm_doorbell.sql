-- arm_doorbell: settings
-- Say that this session sleeps: adds ring while it holds the lock. A momentary holder
-- (an add that looks) makes it fail; then the worker polls and tries again.
SELECT pg_try_advisory_lock_shared(
    ('pgqueue.queue'::regclass::oid::bigint - 2147483648)::integer, %(queue_id)s)
