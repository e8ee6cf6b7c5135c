-- promote_job: delayed -> waiting
-- Let a delayed job run now, at a fresh position. Whoever deletes the row promotes it.
WITH due AS MATERIALIZED (
    DELETE FROM pgqueue.delayed d
    WHERE d.queue_id = (SELECT q.id FROM pgqueue.queue q WHERE q.name = %(queue)s)
        AND d.job_id = %(job_id)s
    RETURNING d.queue_id, d.job_id, d.priority, d.attempt, d.stalled, d."group"
), ready AS (
    INSERT INTO pgqueue.ready
        (job_id, seq, queue_id, priority, attempt, stalled, moved, "group")
    SELECT d.job_id, nextval('pgqueue.job_seq'), d.queue_id,
        d.priority + 2097152 * (d."group" IS NOT NULL)::integer, d.attempt, d.stalled, true,
        d."group"
    FROM due d
), arrived AS (
    INSERT INTO pgqueue.arrival (queue_id, "group")
    SELECT DISTINCT d.queue_id, d."group" FROM due d WHERE d."group" IS NOT NULL
), noted AS (
    INSERT INTO pgqueue.event (queue_id, job_id, name)
    SELECT d.queue_id, d.job_id, 'waiting'
    FROM due d JOIN pgqueue.queue q ON q.id = d.queue_id AND q.events
)
SELECT d.job_id, pgqueue.ring(d.queue_id) FROM due d
