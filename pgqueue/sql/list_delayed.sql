-- list_delayed: read
-- A page of the delayed jobs, the next due first. The key is in microseconds.
SELECT b.id, b.name, b.data::text, 'delayed', b.created_at, d.priority, d.attempt,
    b.attempts, d.stalled, d.run_at, NULL, NULL, p.value::text, NULL, NULL, b.key, NULL,
    b.options::text, b.parent_id, b."group", (extract(epoch FROM d.run_at) * 1000000)::bigint, d.job_id
FROM (
    SELECT l.* FROM pgqueue.delayed l
    WHERE l.queue_id = (SELECT q.id FROM pgqueue.queue q WHERE q.name = %(queue)s)
        AND (l.run_at, l.job_id) > (
            'epoch'::timestamptz + %(key)s * interval '1 microsecond', %(id)s::bigint)
    ORDER BY l.run_at, l.job_id LIMIT %(limit)s OFFSET %(offset)s
) AS d
CROSS JOIN LATERAL (
    SELECT j.* FROM pgqueue.job j
    WHERE j.queue_id = d.queue_id AND j.id = d.job_id OFFSET 0
) AS b
LEFT JOIN LATERAL (
    SELECT n.value FROM pgqueue.progress n
    WHERE n.queue_id = d.queue_id AND n.job_id = d.job_id OFFSET 0
) AS p ON true
ORDER BY d.run_at, d.job_id
