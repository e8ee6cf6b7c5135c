-- find_finished: read
-- Ids of jobs that completed or failed long enough ago, oldest first.
SELECT f.job_id
FROM pgqueue.finished f
WHERE f.queue_id = (SELECT q.id FROM pgqueue.queue q WHERE q.name = %(queue)s)
    AND f.state = %(state)s
    AND f.finished_at <= (SELECT clock_timestamp() - %(grace)s * interval '1 second')
ORDER BY f.finished_at, f.job_id LIMIT %(limit)s
