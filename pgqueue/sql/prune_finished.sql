-- prune_finished: completed, failed -> removed
-- Remove a batch of finished jobs whose own retention age is over. `low` steps over the
-- dead entries of earlier batches; the clock is read once, or it could not end the scan.
WITH gone AS MATERIALIZED (
    DELETE FROM pgqueue.finished WHERE ctid = ANY(ARRAY(
        SELECT f.ctid FROM pgqueue.finished f
        WHERE f.queue_id = %(queue_id)s AND f.expires_at <= (SELECT clock_timestamp())
            AND f.expires_at >= to_timestamp(%(low)s)
        ORDER BY f.expires_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    ))
    RETURNING queue_id, job_id, expires_at
), bodies AS (
    DELETE FROM pgqueue.job j USING gone g
    WHERE j.queue_id = g.queue_id AND j.id = g.job_id
), attempts AS (
    DELETE FROM pgqueue.attempt t USING gone g
    WHERE t.queue_id = g.queue_id AND t.job_id = g.job_id
), progress AS (
    DELETE FROM pgqueue.progress p USING gone g
    WHERE p.queue_id = g.queue_id AND p.job_id = g.job_id
)
SELECT count(*), extract(epoch FROM max(expires_at))::double precision FROM gone
