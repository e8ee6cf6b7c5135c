-- trim_finished: completed, failed -> removed
-- Keep the newest jobs of one state, as many as the newest job that gave a number asks
-- for, and remove a batch of the older ones. Without such a job nothing goes.
WITH policy AS MATERIALIZED (
    SELECT f.keep_count FROM pgqueue.finished f
    WHERE f.queue_id = %(queue_id)s AND f.state = %(state)s
        AND f.keep_count IS NOT NULL
    ORDER BY f.finished_at DESC LIMIT 1
), edge AS MATERIALIZED (
    SELECT f.finished_at, f.job_id FROM pgqueue.finished f
    WHERE f.queue_id = %(queue_id)s AND f.state = %(state)s
        AND EXISTS (SELECT FROM policy)
    ORDER BY f.finished_at DESC, f.job_id DESC
    OFFSET (SELECT p.keep_count FROM policy p) LIMIT 1
), gone AS MATERIALIZED (
    DELETE FROM pgqueue.finished WHERE ctid = ANY(ARRAY(
        SELECT f.ctid FROM pgqueue.finished f
        WHERE f.queue_id = %(queue_id)s AND f.state = %(state)s
            AND (f.finished_at, f.job_id) <= (
                (SELECT e.finished_at FROM edge e), (SELECT e.job_id FROM edge e))
        ORDER BY f.finished_at, f.job_id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    ))
    RETURNING queue_id, job_id
), forgotten AS MATERIALIZED (
    SELECT pgqueue.forget(g.queue_id, array_agg(g.job_id), true), count(*) AS jobs
    FROM gone g GROUP BY g.queue_id
)
SELECT coalesce((SELECT sum(f.jobs) FROM forgotten f), 0)::integer
