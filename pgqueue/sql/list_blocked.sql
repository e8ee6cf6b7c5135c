-- list_blocked: read
-- A page of the jobs that wait for children, oldest first.
SELECT b.id, b.name, b.data::text, 'waiting_children', b.created_at, d.priority,
    d.attempt, b.attempts, d.stalled, d.run_at, NULL, NULL, p.value::text, NULL, NULL,
    b.key, NULL, b.options::text, b.parent_id, b."group", 0, d.job_id
FROM (
    SELECT l.* FROM pgqueue.blocked l
    WHERE l.queue_id = (SELECT q.id FROM pgqueue.queue q WHERE q.name = %(queue)s)
        AND (0, l.job_id) > (%(key)s::bigint, %(id)s::bigint)
    ORDER BY l.job_id LIMIT %(limit)s OFFSET %(offset)s
) AS d
CROSS JOIN LATERAL (
    SELECT j.* FROM pgqueue.job j
    WHERE j.queue_id = d.queue_id AND j.id = d.job_id OFFSET 0
) AS b
LEFT JOIN LATERAL (
    SELECT n.value FROM pgqueue.progress n
    WHERE n.queue_id = d.queue_id AND n.job_id = d.job_id OFFSET 0
) AS p ON true
ORDER BY d.job_id
