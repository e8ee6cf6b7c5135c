-- read_schedules: read
-- The schedules whose pending job has begun, and the database's clock. A job that is not
-- the pending one any more finds nothing: its schedule went on, or was replaced.
SELECT s.queue_id, s.key, s.job_id, s.next_at, s.iteration, s.behind, s.rule::text, true,
    clock_timestamp()
FROM unnest(%(queue_ids)s::integer[], %(keys)s::text[], %(job_ids)s::bigint[])
    AS a(queue_id, key, job_id)
JOIN pgqueue.schedule s
    ON s.queue_id = a.queue_id AND s.key = a.key AND s.job_id = a.job_id
