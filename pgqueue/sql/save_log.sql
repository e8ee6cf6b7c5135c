-- save_log: active
-- Add a line to a job's log, if a lease still lists the job; keep the newest lines.
WITH held AS MATERIALIZED (
    SELECT l.queue_id FROM pgqueue.lease l
    WHERE l.queue_id = %(queue_id)s AND l.id = %(lease_id)s
        AND %(job_id)s = ANY(l.job_ids)
    FOR SHARE
), trimmed AS (
    DELETE FROM pgqueue.log g USING held h
    WHERE g.queue_id = h.queue_id AND g.job_id = %(job_id)s AND g.id <= (
        SELECT k.id FROM pgqueue.log k
        WHERE k.queue_id = %(queue_id)s AND k.job_id = %(job_id)s
        ORDER BY k.id DESC OFFSET greatest(%(keep)s::bigint - 1, 0) LIMIT 1)
        AND %(keep)s::bigint IS NOT NULL
), added AS (
    INSERT INTO pgqueue.log (job_id, logged_at, queue_id, line)
    SELECT %(job_id)s, clock_timestamp(), h.queue_id, %(line)s FROM held h
    WHERE %(keep)s::bigint IS DISTINCT FROM 0
)
SELECT h.queue_id FROM held h
