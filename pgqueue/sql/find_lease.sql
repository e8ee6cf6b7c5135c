-- find_lease: read
-- The lease under which a job runs, if it does.
SELECT l.queue_id, l.id FROM pgqueue.lease l
WHERE l.queue_id = (SELECT q.id FROM pgqueue.queue q WHERE q.name = %(queue)s)
    AND %(job_id)s = ANY(l.job_ids)
