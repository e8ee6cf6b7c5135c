-- promote_jobs: delayed -> waiting
-- Make due jobs ready, in due order, each at a fresh position; workers that promote at
-- the same time skip each other's rows. `run_at >= low` steps over dead entries;
-- the clock is read once, or it could not end the scan.
WITH due AS MATERIALIZED (
    DELETE FROM pgqueue.delayed WHERE ctid = ANY(ARRAY(
        SELECT d.ctid FROM pgqueue.delayed d
        WHERE d.queue_id = %(queue_id)s AND d.run_at <= (SELECT clock_timestamp())
            AND d.run_at >= to_timestamp(%(low)s)
        ORDER BY d.run_at, d.job_id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    ))
    RETURNING job_id, priority, attempt, stalled, run_at, "group"
), ready AS (
    INSERT INTO pgqueue.ready
        (job_id, seq, queue_id, priority, attempt, stalled, moved, "group")
    SELECT d.job_id, nextval('pgqueue.job_seq'), %(queue_id)s,
        d.priority + 2097152 * (d."group" IS NOT NULL)::integer, d.attempt, d.stalled, true,
        d."group"
    FROM (SELECT * FROM due ORDER BY run_at, job_id) AS d
), arrived AS (
    INSERT INTO pgqueue.arrival (queue_id, "group")
    SELECT DISTINCT %(queue_id)s::integer, d."group" FROM due d WHERE d."group" IS NOT NULL
), noted AS (
    INSERT INTO pgqueue.event (queue_id, job_id, name)
    SELECT %(queue_id)s, d.job_id, 'waiting' FROM due d
    WHERE EXISTS (SELECT FROM pgqueue.queue q WHERE q.id = %(queue_id)s AND q.events)
)
SELECT count(*), extract(epoch FROM max(run_at))::double precision FROM due
