-- find_delayed: read
-- Ids of delayed jobs that were added long enough ago, oldest first.
SELECT b.id
FROM pgqueue.queue q
JOIN pgqueue.delayed d ON d.queue_id = q.id
JOIN pgqueue.job b ON b.queue_id = d.queue_id AND b.id = d.job_id
WHERE q.name = %(queue)s
    AND b.created_at <= clock_timestamp() - %(grace)s * interval '1 second'
    AND NOT EXISTS (SELECT FROM pgqueue.schedule s
        WHERE s.queue_id = d.queue_id AND s.job_id = d.job_id)
ORDER BY b.created_at, b.id LIMIT %(limit)s
