-- drain_finished: completed, failed -> removed
-- Remove a batch of finished jobs, whatever their retention (obliterate).
WITH gone AS MATERIALIZED (
    DELETE FROM pgqueue.finished WHERE ctid = ANY(ARRAY(
        SELECT f.ctid FROM pgqueue.finished f
        WHERE f.queue_id = %(queue_id)s AND f.job_id > %(after)s
        ORDER BY f.job_id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    ))
    RETURNING queue_id, job_id
), forgotten AS MATERIALIZED (
    SELECT pgqueue.forget(g.queue_id, array_agg(g.job_id), false) AS parents
    FROM gone g GROUP BY g.queue_id
)
SELECT g.job_id, CASE WHEN row_number() OVER (ORDER BY g.job_id DESC) = 1 THEN f.parents END
FROM gone g CROSS JOIN forgotten f ORDER BY g.job_id DESC
