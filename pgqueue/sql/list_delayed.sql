-- list_delayed: read
-- A page of the delayed jobs, the next due first. The key is in microseconds.
SELECT b.id, b.name, b.data::text, 'delayed', b.created_at, d.priority, d.attempt,
    b.attempts, d.stalled, d.run_at, NULL, NULL, p.value::text, NULL, NULL, b.key, NULL,
    b.options::text, (extract(epoch FROM d.run_at) * 1000000)::bigint, d.job_id
FROM pgqueue.queue q
JOIN pgqueue.delayed d ON d.queue_id = q.id
JOIN pgqueue.job b ON b.queue_id = d.queue_id AND b.id = d.job_id
LEFT JOIN pgqueue.progress p ON p.queue_id = d.queue_id AND p.job_id = d.job_id
WHERE q.name = %(queue)s AND (%(first)s OR (d.run_at, d.job_id) > (
    'epoch'::timestamptz + %(key)s * interval '1 microsecond', %(id)s::bigint))
ORDER BY d.run_at, d.job_id LIMIT %(limit)s OFFSET %(offset)s
