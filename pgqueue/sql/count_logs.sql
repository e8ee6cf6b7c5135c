-- count_logs: read
-- How many lines the log of a job has.
SELECT count(*) FROM pgqueue.log g
WHERE g.queue_id = (SELECT q.id FROM pgqueue.queue q WHERE q.name = %(queue)s)
    AND g.job_id = %(job_id)s
