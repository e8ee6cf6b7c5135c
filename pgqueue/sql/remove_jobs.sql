-- remove_jobs: waiting, delayed, waiting_children, completed, failed -> removed
-- Remove jobs by id, from the states asked for only: a job that was claimed since it
-- was looked up stays. The row of the state goes first; a job is removed by whoever
-- deleted that row. A ctid read under this snapshot cannot be reused while it lives.
-- <@: with an equality on the state finished_order would look like the index to use.
WITH asked AS MATERIALIZED (
    SELECT b.queue_id, b.id, b.priority
    FROM pgqueue.queue q
    JOIN pgqueue.job b ON b.queue_id = q.id AND b.id = ANY(%(job_ids)s)
    WHERE q.name = %(queue)s
), waiting AS (
    DELETE FROM pgqueue.ready WHERE %(waiting)s AND ctid = ANY(ARRAY(
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
    RETURNING queue_id, job_id
), delayed AS (
    DELETE FROM pgqueue.delayed d USING asked a
    WHERE %(delayed)s AND d.queue_id = a.queue_id AND d.job_id = a.id
    RETURNING d.queue_id, d.job_id
), blocked AS (
    DELETE FROM pgqueue.blocked w USING asked a
    WHERE %(blocked)s AND w.queue_id = a.queue_id AND w.job_id = a.id
    RETURNING w.queue_id, w.job_id
), finished AS (
    DELETE FROM pgqueue.finished f USING asked a
    WHERE f.queue_id = a.queue_id AND f.job_id = a.id
        AND ARRAY[f.state] <@ %(finished)s
    RETURNING f.queue_id, f.job_id
), gone AS MATERIALIZED (
    SELECT * FROM waiting UNION ALL SELECT * FROM delayed
    UNION ALL SELECT * FROM blocked UNION ALL SELECT * FROM finished
), forgotten AS MATERIALIZED (
    SELECT pgqueue.forget(g.queue_id, array_agg(g.job_id), false) AS parents
    FROM gone g GROUP BY g.queue_id
)
SELECT g.job_id, CASE WHEN row_number() OVER (ORDER BY g.job_id) = 1 THEN f.parents END
FROM gone g CROSS JOIN forgotten f ORDER BY g.job_id
