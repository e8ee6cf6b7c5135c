-- lock_limits: settings
-- One limited claim of a queue at a time, until this transaction ends. The ids come
-- sorted, so two workers of several limited queues never wait for each other.
SELECT pg_advisory_xact_lock(
    ('pgqueue.rate'::regclass::oid::bigint - 2147483648)::integer, one.queue_id)
FROM unnest(%(queue_ids)s::integer[]) AS one(queue_id)
