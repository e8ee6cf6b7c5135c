-- list_active: read
-- A page of the active jobs, the longest claimed first. The key is in microseconds.
SELECT b.id, b.name, b.data::text, 'active', b.created_at, b.priority, a.attempt,
    b.attempts, a.stalled, NULL, a.claimed_at, NULL, p.value::text, NULL, NULL, b.key,
    w.name, b.options::text, b.parent_id, b."group", (extract(epoch FROM a.claimed_at) * 1000000)::bigint, b.id
FROM (
    SELECT l.queue_id, l.worker_id, l.claimed_at, e.job_id, e.attempt, e.stalled
    FROM pgqueue.lease l
    CROSS JOIN LATERAL unnest(l.job_ids, l.attempts, l.stalls)
        AS e(job_id, attempt, stalled)
    WHERE l.queue_id = (SELECT q.id FROM pgqueue.queue q WHERE q.name = %(queue)s)
        AND (l.claimed_at, e.job_id) > (
            'epoch'::timestamptz + %(key)s * interval '1 microsecond', %(id)s::bigint)
    ORDER BY l.claimed_at, e.job_id LIMIT %(limit)s OFFSET %(offset)s
) AS a
CROSS JOIN LATERAL (
    SELECT j.* FROM pgqueue.job j
    WHERE j.queue_id = a.queue_id AND j.id = a.job_id OFFSET 0
) AS b
LEFT JOIN pgqueue.worker w ON w.id = a.worker_id
LEFT JOIN LATERAL (
    SELECT n.value FROM pgqueue.progress n
    WHERE n.queue_id = a.queue_id AND n.job_id = a.job_id OFFSET 0
) AS p ON true
ORDER BY a.claimed_at, a.job_id
