-- drop_leases: active -> removed
-- Take every lease of a queue away, with its jobs: what their handlers report later
-- finds no lease and is refused.
WITH ended AS MATERIALIZED (
    DELETE FROM pgqueue.lease l WHERE l.queue_id = %(queue_id)s
    RETURNING l.queue_id, l.job_ids
), gone AS MATERIALIZED (
    SELECT e.queue_id, a.job_id FROM ended e CROSS JOIN LATERAL unnest(e.job_ids) AS a(job_id)
), forgotten AS MATERIALIZED (
    SELECT pgqueue.forget(g.queue_id, array_agg(g.job_id), false) AS parents
    FROM gone g GROUP BY g.queue_id
)
SELECT g.job_id, CASE WHEN row_number() OVER () = 1 THEN f.parents END
FROM gone g CROSS JOIN forgotten f
