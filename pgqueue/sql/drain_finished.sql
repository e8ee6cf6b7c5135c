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
    SELECT pgqueue.forget(g.queue_id, array_agg(g.job_id), false) AS jobs
    FROM gone g GROUP BY g.queue_id
)
SELECT job_id FROM gone
WHERE (SELECT count(f.jobs) FROM forgotten f) > 0 ORDER BY job_id DESC
