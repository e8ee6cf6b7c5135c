-- list_attempts: read
-- The failed runs of a job, the oldest first; the worker's name was kept with each.
SELECT a.attempt, a.started_at, a.finished_at, a.error, a.stack, a.worker
FROM pgqueue.queue q
JOIN pgqueue.attempt a ON a.queue_id = q.id AND a.job_id = %(job_id)s
WHERE q.name = %(queue)s
ORDER BY a.finished_at, a.attempt
