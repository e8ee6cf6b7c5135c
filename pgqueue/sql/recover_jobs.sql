-- recover_jobs: active -> waiting, failed
-- Put back what dead workers held, and what workers held whose row is gone. A stalled
-- run is no attempt; after `max_stalled` of them the job fails instead. Whoever deletes
-- the lease row decides: a finish that comes later finds nothing.
WITH ended AS MATERIALIZED (
    DELETE FROM pgqueue.lease l
    WHERE NOT EXISTS (
        SELECT FROM pgqueue.worker w WHERE w.id = l.worker_id AND w.dead_at IS NULL)
        AND l.claimed_at < clock_timestamp() - interval '1 second'
    RETURNING l.queue_id, l.worker_id, l.claimed_at, l.job_ids, l.attempts, l.stalls
), lost AS MATERIALIZED (
    SELECT e.queue_id, e.worker_id, e.claimed_at, a.job_id, a.attempt,
        a.stalled + 1 AS stalled, a.stalled >= %(max_stalled)s AS failed
    FROM ended e
    CROSS JOIN LATERAL unnest(e.job_ids, e.attempts, e.stalls)
        AS a(job_id, attempt, stalled)
), back AS (
    INSERT INTO pgqueue.ready
        (job_id, seq, queue_id, priority, attempt, stalled, moved)
    SELECT l.job_id, nextval('pgqueue.job_seq'), l.queue_id, j.priority, l.attempt - 1,
        l.stalled, true
    FROM lost l JOIN pgqueue.job j ON j.queue_id = l.queue_id AND j.id = l.job_id
    WHERE NOT l.failed
), kept AS (
    INSERT INTO pgqueue.finished (job_id, started_at, finished_at, expires_at,
        keep_count, queue_id, attempt, stalled, state, error)
    SELECT l.job_id, l.claimed_at, clock_timestamp(),
        clock_timestamp() + q.failed_age * interval '1 second', q.failed_count,
        l.queue_id, l.attempt, l.stalled, 'failed', %(reason)s
    FROM lost l JOIN pgqueue.queue q ON q.id = l.queue_id
    WHERE l.failed
), recorded AS (
    INSERT INTO pgqueue.attempt (job_id, worker_id, started_at, finished_at, queue_id,
        attempt, error)
    SELECT l.job_id, l.worker_id, l.claimed_at, clock_timestamp(), l.queue_id,
        l.attempt, %(reason)s
    FROM lost l WHERE l.failed
)
SELECT l.job_id, q.name, l.failed, pgqueue.ring(l.queue_id)
FROM lost l JOIN pgqueue.queue q ON q.id = l.queue_id ORDER BY l.job_id
