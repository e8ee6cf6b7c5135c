-- list_finished: read
-- A page of the completed or failed jobs, newest first. The key is in microseconds.
SELECT b.id, b.name, b.data::text, f.state, b.created_at, b.priority, f.attempt,
    b.attempts, f.stalled, NULL, f.started_at, f.finished_at, p.value::text,
    f.result::text, f.error, b.key, NULL, b.options::text,
    (extract(epoch FROM f.finished_at) * 1000000)::bigint, f.job_id
FROM pgqueue.queue q
JOIN pgqueue.finished f ON f.queue_id = q.id AND f.state = %(state)s
JOIN pgqueue.job b ON b.queue_id = f.queue_id AND b.id = f.job_id
LEFT JOIN pgqueue.progress p ON p.queue_id = f.queue_id AND p.job_id = f.job_id
WHERE q.name = %(queue)s AND (%(first)s OR (f.finished_at, f.job_id) < (
    'epoch'::timestamptz + %(key)s * interval '1 microsecond', %(id)s::bigint))
ORDER BY f.finished_at DESC, f.job_id DESC LIMIT %(limit)s OFFSET %(offset)s
