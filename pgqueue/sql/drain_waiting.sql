-- drain_waiting: waiting -> removed
-- Remove a batch of waiting jobs; a row that is being claimed is skipped.
WITH gone AS MATERIALIZED (
    DELETE FROM pgqueue.ready WHERE ctid = ANY(ARRAY(
        SELECT r.ctid FROM pgqueue.ready r
        WHERE r.queue_id = %(queue_id)s AND (r.priority, r.seq) > (%(priority)s, %(seq)s)
        ORDER BY r.priority, r.seq LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    ))
    RETURNING queue_id, job_id, priority, seq
), bodies AS (
    DELETE FROM pgqueue.job j USING gone g
    WHERE j.queue_id = g.queue_id AND j.id = g.job_id
), attempts AS (
    DELETE FROM pgqueue.attempt a USING gone g
    WHERE a.queue_id = g.queue_id AND a.job_id = g.job_id
), progress AS (
    DELETE FROM pgqueue.progress p USING gone g
    WHERE p.queue_id = g.queue_id AND p.job_id = g.job_id
)
SELECT job_id, priority, seq FROM gone ORDER BY priority DESC, seq DESC
