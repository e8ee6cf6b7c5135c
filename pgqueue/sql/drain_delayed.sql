-- drain_delayed: delayed -> removed
-- Remove a batch of delayed jobs; the next job of a schedule stays, and a row that is being promoted is skipped.
WITH gone AS MATERIALIZED (
    DELETE FROM pgqueue.delayed WHERE ctid = ANY(ARRAY(
        SELECT d.ctid FROM pgqueue.delayed d
        WHERE d.queue_id = %(queue_id)s AND d.job_id > %(after)s
            AND NOT EXISTS (SELECT FROM pgqueue.schedule s
                WHERE s.queue_id = d.queue_id AND s.job_id = d.job_id)
        ORDER BY d.job_id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    ))
    RETURNING queue_id, job_id
), forgotten AS MATERIALIZED (
    SELECT pgqueue.forget(g.queue_id, array_agg(g.job_id), false) AS parents
    FROM gone g GROUP BY g.queue_id
)
SELECT g.job_id, CASE WHEN row_number() OVER (ORDER BY g.job_id DESC) = 1 THEN f.parents END
FROM gone g CROSS JOIN forgotten f ORDER BY g.job_id DESC
