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
), forgotten AS MATERIALIZED (
    SELECT pgqueue.forget(g.queue_id, array_agg(g.job_id), true), count(*) AS jobs
    FROM gone g GROUP BY g.queue_id
)
SELECT coalesce((SELECT sum(f.jobs) FROM forgotten f), 0)::integer,
    extract(epoch FROM max(expires_at))::double precision
FROM gone
