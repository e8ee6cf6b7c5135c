-- advance_schedules: schedule -> schedule, and its next job
-- Let schedules go on to their next occurrences, or end. Guarded by the job that began:
-- of several that try, the first makes the next job and the others find another one. A
-- row that a caller holds is skipped, not waited for; the result names those that moved.
WITH asked AS MATERIALIZED (
    SELECT a.*, s.ctid AS place
    FROM unnest(%(queue_ids)s::integer[], %(keys)s::text[], %(job_ids)s::bigint[],
        %(instants)s::timestamptz[], %(iterations)s::bigint[], %(behinds)s::integer[])
        AS a(queue_id, key, job_id, next_at, iteration, behind)
    JOIN pgqueue.schedule s
        ON s.queue_id = a.queue_id AND s.key = a.key AND s.job_id = a.job_id
    FOR UPDATE OF s SKIP LOCKED
), moved AS MATERIALIZED (
    UPDATE pgqueue.schedule s
    SET last_at = s.next_at, next_at = a.next_at, iteration = a.iteration,
        behind = a.behind,
        job_id = CASE WHEN a.next_at IS NOT NULL THEN nextval('pgqueue.job_seq') END
    FROM asked a WHERE s.ctid = a.place AND s.job_id = a.job_id
    RETURNING s.*, a.job_id AS began
)
SELECT m.queue_id, m.key, m.began, CASE WHEN m.job_id IS NOT NULL THEN
    pgqueue.add_occurrence(m.queue_id, m.key, m.job_id, m.next_at, m.template) END
FROM moved m
