-- drain_delayed: delayed -> removed
-- Remove a batch of delayed jobs; a row that is being promoted is skipped.
WITH gone AS MATERIALIZED (
    DELETE FROM pgqueue.delayed WHERE ctid = ANY(ARRAY(
        SELECT d.ctid FROM pgqueue.delayed d
        WHERE d.queue_id = %(queue_id)s AND d.job_id > %(after)s
        ORDER BY d.job_id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    ))
    RETURNING queue_id, job_id
), bodies AS (
    DELETE FROM pgqueue.job j USING gone g
    WHERE j.queue_id = g.queue_id AND j.id = g.job_id
), attempts AS (
    DELETE FROM pgqueue.attempt a USING gone g
    WHERE a.queue_id = g.queue_id AND a.job_id = g.job_id
), progress AS (
    DELETE FROM pgqueue.progress p USING gone g
    WHERE p.queue_id = g.queue_id AND p.job_id = g.job_id
)
SELECT job_id FROM gone ORDER BY job_id DESC
