-- retry_jobs: completed, failed -> waiting, waiting_children
-- Put a batch of finished jobs back, the oldest first. None that finished after the call
-- began: a job that fails again would come round for ever. Rows are gone through once.
WITH seen AS MATERIALIZED (
    SELECT f.ctid AS place, f.job_id, f.finished_at FROM pgqueue.finished f
    WHERE f.queue_id = %(queue_id)s AND f.state = %(state)s
        AND f.finished_at <= %(before)s
        AND (f.finished_at, f.job_id) > (%(after)s, %(after_id)s)
    ORDER BY f.finished_at, f.job_id LIMIT %(batch)s FOR UPDATE SKIP LOCKED
), wanted AS MATERIALIZED (
    SELECT s.place FROM seen s CROSS JOIN LATERAL (
        SELECT b.name FROM pgqueue.job b
        WHERE b.queue_id = %(queue_id)s AND b.id = s.job_id OFFSET 0
    ) AS j
    WHERE j.name = %(name)s::text OR %(name)s::text IS NULL
    ORDER BY s.finished_at, s.job_id LIMIT %(limit)s
), back AS MATERIALIZED (
    DELETE FROM pgqueue.finished WHERE ctid = ANY(ARRAY(SELECT w.place FROM wanted w))
    RETURNING job_id, finished_at, CASE WHEN %(reset)s THEN 0 ELSE attempt END AS attempt
), ready AS (
    INSERT INTO pgqueue.ready
        (job_id, seq, queue_id, priority, attempt, stalled, moved, "group")
    SELECT b.job_id, nextval('pgqueue.job_seq'), %(queue_id)s,
        j.priority + 2097152 * (j."group" IS NOT NULL)::integer, b.attempt, 0, true,
        j."group"
    FROM (SELECT * FROM back ORDER BY finished_at, job_id) AS b
    CROSS JOIN LATERAL (
        SELECT t.priority, t."group" FROM pgqueue.job t
        WHERE t.queue_id = %(queue_id)s AND t.id = b.job_id OFFSET 0
    ) AS j
    RETURNING job_id, "group"
), arrived AS (
    INSERT INTO pgqueue.arrival (queue_id, "group")
    SELECT DISTINCT %(queue_id)s::integer, r."group" FROM ready r WHERE r."group" IS NOT NULL
), noted AS (
    INSERT INTO pgqueue.event (queue_id, job_id, name)
    SELECT %(queue_id)s, b.job_id, 'waiting' FROM back b
    WHERE EXISTS (SELECT FROM pgqueue.queue q WHERE q.id = %(queue_id)s AND q.events)
)
SELECT (SELECT count(*) FROM back), (SELECT count(*) FROM seen), l.finished_at, l.job_id,
    pgqueue.ring(%(queue_id)s),
    pgqueue.repend(%(queue_id)s, ARRAY(SELECT b.job_id FROM back b))
FROM (SELECT s.finished_at, s.job_id FROM seen s
    ORDER BY s.finished_at DESC, s.job_id DESC LIMIT 1) AS l
-- Counted, so that they are put back before some may have to wait for children.
CROSS JOIN (SELECT count(*) FROM ready) AS put
