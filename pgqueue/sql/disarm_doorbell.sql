-- disarm_doorbell: settings
-- Say that this session is awake: adds need not ring for it.
SELECT pg_advisory_unlock_shared(
    ('pgqueue.queue'::regclass::oid::bigint - 2147483648)::integer, %(queue_id)s)
