-- promote_delayed: delayed -> waiting
-- Let a batch of delayed jobs run now, in the order of their ids, each once: a job that
-- is delayed again meanwhile stays so. Rows that others promote are skipped.
WITH due AS MATERIALIZED (
    DELETE FROM pgqueue.delayed WHERE ctid = ANY(ARRAY(
        SELECT d.ctid FROM pgqueue.delayed d
        WHERE d.queue_id = %(queue_id)s AND d.job_id > %(after)s
            AND d.job_id <= %(last)s
        ORDER BY d.job_id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    ))
    RETURNING job_id, priority, attempt, stalled, "group"
), ready AS (
    INSERT INTO pgqueue.ready
        (job_id, seq, queue_id, priority, attempt, stalled, moved, "group")
    SELECT d.job_id, nextval('pgqueue.job_seq'), %(queue_id)s,
        d.priority + 2097152 * (d."group" IS NOT NULL)::integer, d.attempt, d.stalled, true,
        d."group"
    FROM (SELECT * FROM due ORDER BY job_id) AS d
), arrived AS (
    INSERT INTO pgqueue.arrival (queue_id, "group")
    SELECT DISTINCT %(queue_id)s::integer, d."group" FROM due d WHERE d."group" IS NOT NULL
), noted AS (
    INSERT INTO pgqueue.event (queue_id, job_id, name)
    SELECT %(queue_id)s, d.job_id, 'waiting' FROM due d
    WHERE EXISTS (SELECT FROM pgqueue.queue q WHERE q.id = %(queue_id)s AND q.events)
)
SELECT (SELECT count(*) FROM due), (SELECT max(d.job_id) FROM due d),
    pgqueue.ring(%(queue_id)s)
