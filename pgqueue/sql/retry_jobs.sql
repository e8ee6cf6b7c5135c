-- retry_jobs: completed, failed -> waiting, waiting_children
-- Put a batch of finished jobs back, the oldest first. None that finished after the call
-- began: a job that fails again would come round for ever. With `defer`, parents whose
-- failed children come in a later batch stay for another round: put back now, they would
-- not wait for these, nor may they wait for what never is put back if this process dies.
WITH seen AS MATERIALIZED (
    SELECT f.ctid AS place, f.job_id, f.finished_at FROM pgqueue.finished f
    WHERE f.queue_id = %(queue_id)s AND f.state = %(state)s
        AND f.finished_at <= %(before)s
        AND (f.finished_at, f.job_id) > (%(after)s, %(after_id)s)
    ORDER BY f.finished_at, f.job_id LIMIT %(batch)s FOR UPDATE SKIP LOCKED
), last AS MATERIALIZED (
    SELECT finished_at, job_id FROM seen ORDER BY finished_at DESC, job_id DESC LIMIT 1
), asked AS MATERIALIZED (
    SELECT s.place, s.finished_at, s.job_id, %(defer)s AND EXISTS (
        SELECT FROM pgqueue.settled t CROSS JOIN LATERAL (
            SELECT c.state, c.finished_at, b.name FROM pgqueue.finished c
            JOIN pgqueue.job b ON b.queue_id = c.queue_id AND b.id = c.job_id
            WHERE c.queue_id = t.child_queue_id AND c.job_id = t.child_id OFFSET 0
        ) AS k
        WHERE t.queue_id = %(queue_id)s AND t.parent_id = s.job_id
            AND t.child_queue_id = %(queue_id)s AND k.state = %(state)s
            AND k.finished_at <= %(before)s
            AND (k.finished_at, t.child_id) > (SELECT l.finished_at, l.job_id FROM last l)
            AND (k.name = %(name)s::text OR %(name)s::text IS NULL)
    ) AS deferred
    FROM seen s CROSS JOIN LATERAL (SELECT b.name FROM pgqueue.job b
        WHERE b.queue_id = %(queue_id)s AND b.id = s.job_id OFFSET 0) AS j
    WHERE j.name = %(name)s::text OR %(name)s::text IS NULL
), wanted AS MATERIALIZED (
    SELECT place FROM asked WHERE NOT deferred ORDER BY finished_at, job_id LIMIT %(limit)s
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
SELECT (SELECT count(*) FROM back), (SELECT count(*) FROM asked a WHERE a.deferred),
    l.finished_at, l.job_id, pgqueue.ring(%(queue_id)s),
    pgqueue.repend(%(queue_id)s, ARRAY(SELECT b.job_id FROM back b), %(reset)s)
FROM last l
-- Counted, so that they are put back before some may have to wait for children.
CROSS JOIN (SELECT count(*) FROM ready) AS put
