-- change_priority: waiting, delayed, waiting_children
-- Give a job that has not started another priority, and a fresh place within it. Rows of
-- `ready` are never updated: whoever deletes one, a claim or this, has the job.
WITH asked AS MATERIALIZED (
    SELECT b.queue_id, b.id, b.priority
    FROM pgqueue.queue q
    JOIN pgqueue.job b ON b.queue_id = q.id AND b.id = %(job_id)s
    WHERE q.name = %(queue)s
), waiting AS MATERIALIZED (
    DELETE FROM pgqueue.ready WHERE ctid = ANY(ARRAY(
        SELECT place.ctid FROM asked a CROSS JOIN LATERAL (
            SELECT r.ctid FROM pgqueue.ready r
            WHERE r.queue_id = a.queue_id AND r.priority = a.priority AND r.seq = a.id
            UNION ALL
            SELECT r.ctid FROM pgqueue.ready r
            WHERE r.queue_id = a.queue_id AND r.priority = a.priority AND r.seq = -a.id
            UNION ALL
            SELECT r.ctid FROM pgqueue.ready r
            WHERE r.queue_id = a.queue_id AND r.job_id = a.id AND r.moved
        ) AS place
    ))
    RETURNING queue_id, job_id, attempt, stalled, "group"
), ready AS (
    INSERT INTO pgqueue.ready
        (job_id, seq, queue_id, priority, attempt, stalled, moved, "group")
    SELECT w.job_id, nextval('pgqueue.job_seq') * CASE WHEN %(lifo)s THEN -1 ELSE 1 END,
        w.queue_id, %(priority)s + 2097152 * (w."group" IS NOT NULL)::integer, w.attempt,
        w.stalled, true, w."group"
    FROM waiting w
), arrived AS (
    INSERT INTO pgqueue.arrival (queue_id, "group")
    SELECT w.queue_id, w."group" FROM waiting w WHERE w."group" IS NOT NULL
), later AS (
    UPDATE pgqueue.delayed d SET priority = %(priority)s FROM asked a
    WHERE d.queue_id = a.queue_id AND d.job_id = a.id
    RETURNING d.queue_id, d.job_id
), blocked AS (
    UPDATE pgqueue.blocked b SET priority = %(priority)s FROM asked a
    WHERE b.queue_id = a.queue_id AND b.job_id = a.id
    RETURNING b.queue_id, b.job_id
), changed AS MATERIALIZED (
    SELECT queue_id, job_id FROM waiting UNION ALL SELECT * FROM later
    UNION ALL SELECT * FROM blocked
), body AS (
    UPDATE pgqueue.job j SET priority = %(priority)s FROM changed c
    WHERE j.queue_id = c.queue_id AND j.id = c.job_id
)
SELECT c.job_id, pgqueue.ring(c.queue_id) FROM changed c
