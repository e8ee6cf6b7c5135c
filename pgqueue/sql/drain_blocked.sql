-- drain_blocked: waiting_children -> removed
-- Remove a batch of jobs that wait for children (obliterate). One that somebody is
-- adding a child to, or is releasing, is waited for: else it would stay behind.
WITH gone AS MATERIALIZED (
    DELETE FROM pgqueue.blocked WHERE ctid = ANY(ARRAY(
        SELECT b.ctid FROM pgqueue.blocked b
        WHERE b.queue_id = %(queue_id)s AND b.job_id > %(after)s
        ORDER BY b.job_id LIMIT %(limit)s FOR UPDATE
    ))
    RETURNING queue_id, job_id
), forgotten AS MATERIALIZED (
    SELECT pgqueue.forget(g.queue_id, array_agg(g.job_id), false) AS parents
    FROM gone g GROUP BY g.queue_id
)
SELECT g.job_id, CASE WHEN row_number() OVER (ORDER BY g.job_id DESC) = 1 THEN f.parents END
FROM gone g CROSS JOIN forgotten f ORDER BY g.job_id DESC
