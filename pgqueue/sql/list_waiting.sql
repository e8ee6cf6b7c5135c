-- list_waiting: read
-- A page of the waiting jobs in the order in which they will be claimed.
SELECT b.id, b.name, b.data::text, 'waiting', b.created_at, r.priority, r.attempt,
    b.attempts, r.stalled, NULL, NULL, NULL, p.value::text, NULL, NULL, b.key, NULL,
    b.options::text, r.priority, r.seq
FROM pgqueue.queue q
JOIN pgqueue.ready r ON r.queue_id = q.id
JOIN pgqueue.job b ON b.queue_id = r.queue_id AND b.id = r.job_id
LEFT JOIN pgqueue.progress p ON p.queue_id = r.queue_id AND p.job_id = r.job_id
WHERE q.name = %(queue)s AND r.priority BETWEEN %(low)s AND %(high)s
    AND (%(first)s OR (r.priority, r.seq) > (%(key)s::integer, %(id)s::bigint))
ORDER BY r.priority, r.seq LIMIT %(limit)s OFFSET %(offset)s
