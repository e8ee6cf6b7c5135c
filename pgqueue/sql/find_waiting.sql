-- find_waiting: read
-- Ids of waiting jobs that were added long enough ago, oldest first.
SELECT b.id
FROM pgqueue.queue q
JOIN pgqueue.ready r ON r.queue_id = q.id
JOIN pgqueue.job b ON b.queue_id = r.queue_id AND b.id = r.job_id
WHERE q.name = %(queue)s AND r.priority & 2097151 BETWEEN %(low)s AND %(high)s
    AND (q.paused OR NOT %(only_paused)s)
    AND b.created_at <= clock_timestamp() - %(grace)s * interval '1 second'
    AND NOT EXISTS (SELECT FROM pgqueue.schedule s
        WHERE s.queue_id = r.queue_id AND s.job_id = r.job_id)
ORDER BY b.created_at, b.id LIMIT %(limit)s
