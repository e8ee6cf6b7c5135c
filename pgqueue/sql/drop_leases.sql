-- drop_leases: active -> removed
-- Take every lease of a queue away, with its jobs: what their handlers report later
-- finds no lease and is refused.
WITH ended AS MATERIALIZED (
    DELETE FROM pgqueue.lease l WHERE l.queue_id = %(queue_id)s
    RETURNING l.queue_id, l.job_ids
), gone AS MATERIALIZED (
    SELECT e.queue_id, a.job_id FROM ended e CROSS JOIN LATERAL unnest(e.job_ids) AS a(job_id)
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
SELECT job_id FROM gone
