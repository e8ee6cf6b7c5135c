-- retry_job: completed, failed -> waiting, waiting_children
-- Put a finished job back, at a fresh position; the runs it has made stay counted, unless
-- asked. A parent that still waits for others waits for this child again.
-- <@: with an equality on the state finished_order would look like the index to use.
WITH back AS MATERIALIZED (
    DELETE FROM pgqueue.finished f
    WHERE f.queue_id = (SELECT q.id FROM pgqueue.queue q WHERE q.name = %(queue)s)
        AND f.job_id = %(job_id)s AND ARRAY[f.state] <@ %(states)s
    RETURNING f.queue_id, f.job_id, CASE WHEN %(reset)s THEN 0 ELSE f.attempt END AS attempt
), ready AS (
    INSERT INTO pgqueue.ready
        (job_id, seq, queue_id, priority, attempt, stalled, moved, "group")
    SELECT b.job_id, nextval('pgqueue.job_seq'), b.queue_id,
        j.priority + 2097152 * (j."group" IS NOT NULL)::integer, b.attempt, 0, true,
        j."group"
    FROM back b JOIN pgqueue.job j ON j.queue_id = b.queue_id AND j.id = b.job_id
    RETURNING job_id, queue_id, "group"
), arrived AS (
    INSERT INTO pgqueue.arrival (queue_id, "group")
    SELECT DISTINCT r.queue_id, r."group" FROM ready r WHERE r."group" IS NOT NULL
), noted AS (
    INSERT INTO pgqueue.event (queue_id, job_id, name)
    SELECT b.queue_id, b.job_id, 'waiting'
    FROM back b JOIN pgqueue.queue q ON q.id = b.queue_id AND q.events
)
SELECT b.job_id, pgqueue.ring(b.queue_id),
    pgqueue.repend(b.queue_id, ARRAY[b.job_id], %(reset)s)
FROM back b
-- Counted, so that it is put back before it may have to wait for children.
CROSS JOIN (SELECT count(*) FROM ready) AS put
