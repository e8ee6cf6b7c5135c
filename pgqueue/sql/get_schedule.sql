-- get_schedule: read
-- One schedule, as list_schedules says it.
SELECT s.key, s.next_at, s.last_at, s.job_id, s.iteration, s.paused, s.rule::text,
    s.template::text
FROM pgqueue.queue q JOIN pgqueue.schedule s ON s.queue_id = q.id
WHERE q.name = %(queue)s AND s.key = %(key)s
