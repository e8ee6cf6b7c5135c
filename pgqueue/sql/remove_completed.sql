-- remove_completed: active -> removed
-- Remove jobs that completed and are not kept, and that left nothing behind but their
-- body: the plainest outcome, without the JSON of finish_jobs. The guard is the same:
-- lease rows are locked first, in order, and only jobs that they list count.
WITH held AS MATERIALIZED (
    SELECT l.queue_id, l.id, l.job_ids, l.attempts, l.stalls FROM pgqueue.lease l
    WHERE l.queue_id = ANY(%(queue_ids)s) AND l.worker_id = %(worker_id)s
        AND l.id = ANY(%(lease_ids)s)
    ORDER BY l.queue_id, l.id FOR UPDATE
), listed AS MATERIALIZED (
    SELECT h.queue_id, h.id, a.job_id, a.attempt, a.stalled, o.job_id AS ended
    FROM held h
    CROSS JOIN LATERAL unnest(h.job_ids, h.attempts, h.stalls)
        AS a(job_id, attempt, stalled)
    LEFT JOIN unnest(%(leases)s::bigint[], %(jobs)s::bigint[]) AS o(lease, job_id)
        ON o.job_id = a.job_id AND o.lease = h.id
), rest AS MATERIALIZED (
    SELECT l.id, array_agg(l.job_id) AS job_ids, array_agg(l.attempt) AS attempts,
        array_agg(l.stalled) AS stalls
    FROM listed l WHERE l.ended IS NULL GROUP BY l.id
), ended AS (
    DELETE FROM pgqueue.lease l
    WHERE l.queue_id = ANY(%(queue_ids)s) AND l.worker_id = %(worker_id)s
        AND l.id = ANY(ARRAY(
            SELECT h.id FROM held h WHERE h.id NOT IN (SELECT r.id FROM rest r)))
), shrunk AS (
    UPDATE pgqueue.lease l
    SET job_ids = r.job_ids, attempts = r.attempts, stalls = r.stalls
    FROM rest r
    WHERE l.queue_id = ANY(%(queue_ids)s) AND l.worker_id = %(worker_id)s
        AND l.id = ANY(%(lease_ids)s) AND l.id = r.id
), removed AS (
    -- By an array of ids: a join might be planned as a walk over the whole index.
    DELETE FROM pgqueue.job j
    WHERE j.queue_id = ANY(%(queue_ids)s) AND j.id = ANY(ARRAY(
        SELECT l.ended FROM listed l WHERE l.ended IS NOT NULL))
    RETURNING j.queue_id, j.id, strpos(j.options::text, '"flow"') > 0 AS flow
), noted AS (
    INSERT INTO pgqueue.event (queue_id, job_id, name, data)
    SELECT l.queue_id, l.ended, 'completed', '{"result": null}' FROM listed l
    WHERE l.ended IS NOT NULL AND l.queue_id IN (
        SELECT q.id FROM pgqueue.queue q WHERE q.id = ANY(%(queue_ids)s) AND q.events)
)
SELECT l.ended FROM listed l WHERE l.ended IS NOT NULL
    -- Children that were added from outside while it ran, as finish_jobs does it.
    AND (SELECT count(pgqueue.disown(r.queue_id, r.id)) FROM removed r
        WHERE r.flow) >= 0
