-- remove_expired: active -> removed
-- Remove jobs from leases of workers that are dead or gone; a dead worker cannot renew,
-- so none of them becomes valid again. The lease rows are locked first, so that recovery
-- and a late finish wait, and then no longer find these jobs.
WITH held AS MATERIALIZED (
    SELECT l.queue_id, l.worker_id, l.id, l.job_ids, l.attempts, l.stalls
    FROM pgqueue.queue q JOIN pgqueue.lease l ON l.queue_id = q.id
    WHERE q.name = %(queue)s AND l.job_ids && %(job_ids)s::bigint[] AND NOT EXISTS (
        SELECT FROM pgqueue.worker w WHERE w.id = l.worker_id AND w.dead_at IS NULL)
    ORDER BY l.queue_id, l.id FOR UPDATE OF l
), listed AS MATERIALIZED (
    SELECT h.queue_id, h.worker_id, h.id, a.job_id, a.attempt, a.stalled,
        a.job_id = ANY(%(job_ids)s) AS asked
    FROM held h CROSS JOIN LATERAL unnest(h.job_ids, h.attempts, h.stalls)
        AS a(job_id, attempt, stalled)
), rest AS MATERIALIZED (
    SELECT l.queue_id, l.worker_id, l.id,
        array_agg(l.job_id) FILTER (WHERE NOT l.asked) AS job_ids,
        array_agg(l.attempt) FILTER (WHERE NOT l.asked) AS attempts,
        array_agg(l.stalled) FILTER (WHERE NOT l.asked) AS stalls
    FROM listed l GROUP BY l.queue_id, l.worker_id, l.id
), ended AS (
    DELETE FROM pgqueue.lease l USING rest r
    WHERE l.queue_id = r.queue_id AND l.worker_id = r.worker_id AND l.id = r.id
        AND r.job_ids IS NULL
), shrunk AS (
    UPDATE pgqueue.lease l
    SET job_ids = r.job_ids, attempts = r.attempts, stalls = r.stalls
    FROM rest r
    WHERE l.queue_id = r.queue_id AND l.worker_id = r.worker_id AND l.id = r.id
        AND r.job_ids IS NOT NULL
), forgotten AS MATERIALIZED (
    SELECT pgqueue.forget(g.queue_id, array_agg(g.job_id), false) AS parents
    FROM listed g WHERE g.asked GROUP BY g.queue_id
)
SELECT l.job_id, CASE WHEN row_number() OVER (ORDER BY l.job_id) = 1 THEN f.parents END
FROM listed l CROSS JOIN forgotten f WHERE l.asked ORDER BY l.job_id
