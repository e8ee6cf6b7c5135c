-- recover_jobs: active -> waiting, failed
-- Put back what dead workers held, and what workers held whose row is gone. A stalled
-- run is no attempt; after `max_stalled` of them the job fails instead. Whoever deletes
-- the lease row decides: a finish that comes later finds nothing. A job's own retention
-- counts here too; it may have been written from SQL, so nonsense in it must not raise.
-- A LIMIT for each body, or a plan may read all bodies to find those of a few.
WITH ended AS MATERIALIZED (
    DELETE FROM pgqueue.lease l
    WHERE NOT EXISTS (
        SELECT FROM pgqueue.worker w WHERE w.id = l.worker_id AND w.dead_at IS NULL)
        AND l.claimed_at < clock_timestamp() - interval '1 second'
    RETURNING l.queue_id, l.worker_id, l.claimed_at, l.job_ids, l.attempts, l.stalls,
        l."group"
), lost AS MATERIALIZED (
    SELECT e.queue_id, e.worker_id, e.claimed_at, e."group", a.job_id, a.attempt,
        a.stalled + 1 AS stalled, a.stalled >= %(max_stalled)s AS failed
    FROM ended e
    CROSS JOIN LATERAL unnest(e.job_ids, e.attempts, e.stalls)
        AS a(job_id, attempt, stalled)
), own AS MATERIALIZED (
    SELECT l.job_id, k.kind,
        CASE WHEN k.flag = 'true' OR k.count ~ '^0+$' THEN 0
            WHEN k.age ~ '^\d{1,10}(\.\d+)?$' THEN k.age::double precision END AS age,
        CASE WHEN k.count ~ '^\d{1,15}$' THEN k.count::bigint END AS count
    FROM lost l CROSS JOIN LATERAL (
        SELECT b.options FROM pgqueue.job b
        WHERE b.queue_id = l.queue_id AND b.id = l.job_id LIMIT 1) AS j
    CROSS JOIN LATERAL (SELECT j.options -> 'remove_on_fail' AS rule) AS r
    CROSS JOIN LATERAL (SELECT json_typeof(r.rule) AS kind, r.rule #>> '{}' AS flag,
        CASE json_typeof(r.rule) WHEN 'object' THEN r.rule ->> 'age' END AS age,
        CASE json_typeof(r.rule) WHEN 'object' THEN r.rule ->> 'count'
            WHEN 'number' THEN r.rule #>> '{}' END AS count) AS k
    WHERE l.failed AND k.kind IN ('boolean', 'number', 'object')
), back AS (
    INSERT INTO pgqueue.ready
        (job_id, seq, queue_id, priority, attempt, stalled, moved, "group")
    SELECT l.job_id, nextval('pgqueue.job_seq'), l.queue_id,
        j.priority + 2097152 * (l."group" IS NOT NULL)::integer, l.attempt - 1, l.stalled,
        true, l."group"
    FROM lost l CROSS JOIN LATERAL (
        SELECT b.priority FROM pgqueue.job b
        WHERE b.queue_id = l.queue_id AND b.id = l.job_id LIMIT 1) AS j
    WHERE NOT l.failed
), arrived AS (
    INSERT INTO pgqueue.arrival (queue_id, "group")
    SELECT DISTINCT l.queue_id, l."group" FROM lost l
    WHERE l."group" IS NOT NULL AND NOT l.failed
), kept AS (
    INSERT INTO pgqueue.finished (job_id, started_at, finished_at, expires_at,
        keep_count, queue_id, attempt, stalled, state, error)
    SELECT l.job_id, l.claimed_at, clock_timestamp(),
        clock_timestamp() + interval '1 second'
            * CASE WHEN o.kind IS NULL THEN q.failed_age ELSE o.age END,
        CASE WHEN o.kind IS NULL THEN q.failed_count ELSE o.count END,
        l.queue_id, l.attempt, l.stalled, 'failed', %(reason)s
    FROM lost l JOIN pgqueue.queue q ON q.id = l.queue_id
    LEFT JOIN own o ON o.job_id = l.job_id
    WHERE l.failed
), recorded AS (
    INSERT INTO pgqueue.attempt (job_id, worker_id, started_at, finished_at, queue_id,
        attempt, error, worker)
    SELECT l.job_id, l.worker_id, l.claimed_at, clock_timestamp(), l.queue_id,
        l.attempt, %(reason)s,
        (SELECT w.name FROM pgqueue.worker w WHERE w.id = l.worker_id)
    FROM lost l WHERE l.failed
), freed AS MATERIALIZED (
    DELETE FROM pgqueue.dependency d USING lost l
    WHERE d.queue_id = l.queue_id AND d.child_id = l.job_id AND l.failed
    RETURNING d.queue_id, d.child_id, d.parent_queue_id, d.parent_id, d.policy
), settled AS (
    INSERT INTO pgqueue.settled (queue_id, parent_id, child_queue_id, child_id, state,
        policy, error)
    SELECT f.parent_queue_id, f.parent_id, f.queue_id, f.child_id, 'failed', f.policy,
        %(reason)s
    FROM freed f WHERE f.policy <> 'remove'
    ON CONFLICT DO NOTHING
), noted AS (
    INSERT INTO pgqueue.event (queue_id, job_id, name, data)
    SELECT l.queue_id, l.job_id, e.name,
        CASE WHEN e.name = 'failed' THEN json_build_object('reason', %(reason)s::text) END
    FROM lost l JOIN pgqueue.queue q ON q.id = l.queue_id AND q.events
    CROSS JOIN LATERAL (VALUES ('stalled'),
        (CASE WHEN l.failed THEN 'failed' ELSE 'waiting' END)) AS e(name)
)
SELECT l.job_id, q.name, l.failed, pgqueue.ring(l.queue_id), f.parent_queue_id,
    f.parent_id
FROM lost l JOIN pgqueue.queue q ON q.id = l.queue_id
LEFT JOIN freed f ON f.queue_id = l.queue_id AND f.child_id = l.job_id
ORDER BY l.job_id
