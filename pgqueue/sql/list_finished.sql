-- list_finished: read
-- A page of the completed or failed jobs, newest first. The key is in microseconds.
SELECT b.id, b.name, b.data::text, f.state, b.created_at, b.priority, f.attempt,
    b.attempts, f.stalled, NULL, f.started_at, f.finished_at, p.value::text,
    f.result::text, f.error, b.key, NULL, b.options::text, b.parent_id, b."group",
    (extract(epoch FROM f.finished_at) * 1000000)::bigint, f.job_id
FROM (
    SELECT e.* FROM pgqueue.finished e
    WHERE e.queue_id = (SELECT q.id FROM pgqueue.queue q WHERE q.name = %(queue)s)
        AND e.state = %(state)s AND (e.finished_at, e.job_id) < (
            'epoch'::timestamptz + %(key)s * interval '1 microsecond', %(id)s::bigint)
    ORDER BY e.finished_at DESC, e.job_id DESC LIMIT %(limit)s OFFSET %(offset)s
) AS f
CROSS JOIN LATERAL (
    SELECT j.* FROM pgqueue.job j
    WHERE j.queue_id = f.queue_id AND j.id = f.job_id OFFSET 0
) AS b
LEFT JOIN LATERAL (
    SELECT n.value FROM pgqueue.progress n
    WHERE n.queue_id = f.queue_id AND n.job_id = f.job_id OFFSET 0
) AS p ON true
ORDER BY f.finished_at DESC, f.job_id DESC
