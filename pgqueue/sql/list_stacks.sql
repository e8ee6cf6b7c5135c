-- list_stacks: read
-- The tracebacks of the failed runs of several jobs of a queue, the oldest first.
SELECT a.job_id, coalesce(a.stack, a.error)
FROM pgqueue.attempt a
WHERE a.queue_id = (SELECT q.id FROM pgqueue.queue q WHERE q.name = %(queue)s)
    AND a.job_id = ANY(%(job_ids)s)
ORDER BY a.job_id, a.finished_at, a.attempt
