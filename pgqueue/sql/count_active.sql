-- count_active: read
-- How many jobs of a queue the leases list.
SELECT coalesce(sum(cardinality(l.job_ids)), 0)::bigint
FROM pgqueue.lease l WHERE l.queue_id = %(queue_id)s
