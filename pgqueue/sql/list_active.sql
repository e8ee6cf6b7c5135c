-- list_active: read
-- A page of the active jobs, the longest claimed first. The key is in microseconds.
SELECT b.id, b.name, b.data::text, 'active', b.created_at, b.priority, a.attempt,
    b.attempts, a.stalled, NULL, l.claimed_at, NULL, p.value::text, NULL, NULL, b.key,
    w.name, b.options::text, (extract(epoch FROM l.claimed_at) * 1000000)::bigint, b.id
FROM pgqueue.queue q
JOIN pgqueue.lease l ON l.queue_id = q.id
CROSS JOIN LATERAL unnest(l.job_ids, l.attempts, l.stalls) AS a(job_id, attempt, stalled)
JOIN pgqueue.job b ON b.queue_id = l.queue_id AND b.id = a.job_id
LEFT JOIN pgqueue.worker w ON w.id = l.worker_id
LEFT JOIN pgqueue.progress p ON p.queue_id = l.queue_id AND p.job_id = a.job_id
WHERE q.name = %(queue)s AND (%(first)s OR (l.claimed_at, b.id) > (
    'epoch'::timestamptz + %(key)s * interval '1 microsecond', %(id)s::bigint))
ORDER BY l.claimed_at, b.id LIMIT %(limit)s OFFSET %(offset)s
