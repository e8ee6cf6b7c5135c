-- hold_lease: active
-- Keep the lease of a running job from ending until this transaction has.
SELECT l.id FROM pgqueue.lease l
WHERE l.queue_id = %(queue_id)s AND l.id = %(lease_id)s AND %(job_id)s = ANY(l.job_ids)
FOR SHARE
