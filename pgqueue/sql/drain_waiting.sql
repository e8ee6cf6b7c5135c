-- drain_waiting: waiting -> removed
-- Remove a batch of waiting jobs; the next job of a schedule stays, and a row that is
-- being claimed is skipped. Parents that were released since `mark` stay: they waited
-- for children when the drain began.
WITH gone AS MATERIALIZED (
    DELETE FROM pgqueue.ready WHERE ctid = ANY(ARRAY(
        SELECT r.ctid FROM pgqueue.ready r
        WHERE r.queue_id = %(queue_id)s AND (r.priority, r.seq) > (%(priority)s, %(seq)s)
            AND NOT EXISTS (SELECT FROM pgqueue.schedule s
                WHERE s.queue_id = r.queue_id AND s.job_id = r.job_id)
            AND NOT (r.moved AND r.seq > %(mark)s AND coalesce((
                SELECT j.options ->> 'flow' FROM pgqueue.job j
                WHERE j.queue_id = r.queue_id AND j.id = r.job_id), '') = 'true')
        ORDER BY r.priority, r.seq LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    ))
    RETURNING queue_id, job_id, priority, seq
), forgotten AS MATERIALIZED (
    SELECT pgqueue.forget(g.queue_id, array_agg(g.job_id), false) AS parents
    FROM gone g GROUP BY g.queue_id
)
SELECT g.job_id, g.priority, g.seq,
    CASE WHEN row_number() OVER (ORDER BY g.priority DESC, g.seq DESC) = 1 THEN f.parents END
FROM gone g CROSS JOIN forgotten f ORDER BY g.priority DESC, g.seq DESC
