-- find_expired: read
-- Ids of active jobs whose worker is dead or gone (run bury_workers first), and that
-- were added long enough ago; oldest first.
SELECT b.id
FROM pgqueue.queue q
JOIN pgqueue.lease l ON l.queue_id = q.id
CROSS JOIN LATERAL unnest(l.job_ids) AS a(job_id)
CROSS JOIN LATERAL (
    SELECT j.id, j.created_at FROM pgqueue.job j
    WHERE j.queue_id = l.queue_id AND j.id = a.job_id LIMIT 1) AS b
WHERE q.name = %(queue)s
    AND NOT EXISTS (
        SELECT FROM pgqueue.worker w WHERE w.id = l.worker_id AND w.dead_at IS NULL)
    AND b.created_at <= clock_timestamp() - %(grace)s * interval '1 second'
ORDER BY b.created_at, b.id LIMIT %(limit)s
