-- count_pending: read
-- How many children a job still waits for.
SELECT count(*) FROM pgqueue.dependency d
WHERE d.parent_queue_id = (SELECT q.id FROM pgqueue.queue q WHERE q.name = %(queue)s)
    AND d.parent_id = %(job_id)s
