-- list_schedules: read
-- A page of the schedules of a queue by their next occurrence; those without one last.
SELECT s.key, s.next_at, s.last_at, s.job_id, s.iteration, s.paused, s.rule::text,
    s.template::text, p.micros
FROM pgqueue.queue q JOIN pgqueue.schedule s ON s.queue_id = q.id
CROSS JOIN LATERAL (
    SELECT coalesce((extract(epoch FROM s.next_at) * 1000000)::bigint, %(never)s::bigint)
) AS p(micros)
WHERE q.name = %(queue)s
    AND (p.micros, s.key) > (%(micros)s::bigint, %(key)s::text COLLATE "C")
ORDER BY p.micros, s.key LIMIT %(limit)s
