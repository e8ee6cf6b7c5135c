-- find_expired: read
-- Ids of active jobs whose worker is dead or gone (run bury_workers first), and that
-- were added long enough ago; oldest first.
SELECT b.id
FROM pgqueue.queue q
JOIN pgqueue.lease l ON l.queue_id = q.id
JOIN pgqueue.job b ON b.queue_id = l.queue_id AND b.id = ANY(l.job_ids)
WHERE q.name = %(queue)s
    AND NOT EXISTS (
        SELECT FROM pgqueue.worker w WHERE w.id = l.worker_id AND w.dead_at IS NULL)
    AND b.created_at <= clock_timestamp() - %(grace)s * interval '1 second'
ORDER BY b.created_at, b.id LIMIT %(limit)s
