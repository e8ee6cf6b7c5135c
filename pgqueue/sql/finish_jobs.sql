-- finish_jobs: active -> completed, failed, waiting, delayed, waiting_children, removed
-- Apply the outcomes of one worker. Only jobs that its leases still list count: the
-- lease rows are locked first, in order, so recovery or a second finish waits and then
-- sees what is left. An id that is not returned has lost its lease. A child's parent is
-- returned with it: send release_parents once this has committed.
WITH outcome AS MATERIALIZED (
    SELECT * FROM json_to_recordset(%(outcomes)s::json) AS o(
        lease bigint, job bigint, state text, attempt integer, stalled integer,
        priority integer, seq bigint, delay double precision, result json, error text,
        stack text, failure boolean, exhausted boolean, ran double precision, keep boolean,
        age double precision, count bigint, traces boolean, ended text, child boolean)
), moment AS MATERIALIZED (
    SELECT clock_timestamp() AS instant
), held AS MATERIALIZED (
    SELECT l.id, l.queue_id, l.claimed_at, l.job_ids, l.attempts, l.stalls, l."group"
    FROM pgqueue.lease l
    WHERE l.queue_id = ANY(%(queue_ids)s) AND l.worker_id = %(worker_id)s
        AND l.id = ANY(%(lease_ids)s)
    ORDER BY l.queue_id, l.id FOR UPDATE
), listed AS MATERIALIZED (
    SELECT h.id, h.queue_id, h."group", a.job_id, a.attempt AS run, a.stall, o.*
    FROM held h
    CROSS JOIN LATERAL unnest(h.job_ids, h.attempts, h.stalls) AS a(job_id, attempt, stall)
    LEFT JOIN outcome o ON o.job = a.job_id AND o.lease = h.id
), rest AS MATERIALIZED (
    SELECT l.queue_id, l.id, count(l.job) AS settled,
        array_agg(l.job_id) FILTER (WHERE l.job IS NULL) AS job_ids,
        array_agg(l.run) FILTER (WHERE l.job IS NULL) AS attempts,
        array_agg(l.stall) FILTER (WHERE l.job IS NULL) AS stalls
    FROM listed l GROUP BY l.queue_id, l.id
), ended AS (
    DELETE FROM pgqueue.lease l
    WHERE l.queue_id = ANY(%(queue_ids)s) AND l.worker_id = %(worker_id)s
        AND l.id = ANY(ARRAY(SELECT r.id FROM rest r WHERE r.job_ids IS NULL))
), shrunk AS (
    UPDATE pgqueue.lease l
    SET job_ids = r.job_ids, attempts = r.attempts, stalls = r.stalls
    FROM rest r
    WHERE l.queue_id = ANY(%(queue_ids)s) AND l.worker_id = %(worker_id)s
        AND l.id = ANY(%(lease_ids)s) AND l.id = r.id
        AND r.job_ids IS NOT NULL AND r.settled > 0
), kept AS (
    INSERT INTO pgqueue.finished (job_id, started_at, finished_at, expires_at,
        keep_count, queue_id, attempt, stalled, state, result, error)
    SELECT l.job_id, m.instant - l.ran * interval '1 second', m.instant,
        m.instant + interval '1 second' * CASE WHEN l.keep THEN l.age
            WHEN l.state = 'completed' THEN q.completed_age ELSE q.failed_age END,
        CASE WHEN l.keep THEN l.count
            WHEN l.state = 'completed' THEN q.completed_count ELSE q.failed_count END,
        l.queue_id, l.attempt, coalesce(l.stalled, l.stall), l.state, l.result, l.error
    FROM listed l JOIN pgqueue.queue q ON q.id = l.queue_id CROSS JOIN moment m
    WHERE l.state IN ('completed', 'failed') AND q.id = ANY(%(queue_ids)s)
), removed AS (
    -- By arrays of ids: a join might be planned as a walk over the whole index.
    DELETE FROM pgqueue.job j
    WHERE j.queue_id = ANY(%(queue_ids)s) AND j.id = ANY(ARRAY(
        SELECT l.job_id FROM listed l WHERE l.state = 'removed'))
    RETURNING j.queue_id, j.id, strpos(j.options::text, '"flow"') > 0 AS flow
), forgotten AS (
    DELETE FROM pgqueue.attempt a
    WHERE a.queue_id = ANY(%(queue_ids)s) AND a.job_id = ANY(ARRAY(
        SELECT l.job_id FROM listed l WHERE l.state = 'removed' AND l.traces))
), silenced AS (
    DELETE FROM pgqueue.progress p
    WHERE p.queue_id = ANY(%(queue_ids)s) AND p.job_id = ANY(ARRAY(
        SELECT l.job_id FROM listed l WHERE l.state = 'removed' AND l.traces))
), unlogged AS (
    DELETE FROM pgqueue.log g
    WHERE g.queue_id = ANY(%(queue_ids)s) AND g.job_id = ANY(ARRAY(
        SELECT l.job_id FROM listed l WHERE l.state = 'removed' AND l.traces))
), recorded AS (
    INSERT INTO pgqueue.attempt (job_id, worker_id, started_at, finished_at, queue_id,
        attempt, error, stack, worker)
    SELECT l.job_id, %(worker_id)s, clock_timestamp() - l.ran * interval '1 second',
        clock_timestamp(), l.queue_id, l.attempt, l.error, l.stack,
        (SELECT w.name FROM pgqueue.worker w WHERE w.id = %(worker_id)s)
    FROM listed l WHERE l.failure AND l.state <> 'removed'
), waiting AS (
    INSERT INTO pgqueue.ready
        (job_id, seq, queue_id, priority, attempt, stalled, moved, "group")
    SELECT l.job_id, s.seq, l.queue_id,
        l.priority + 2097152 * (l."group" IS NOT NULL)::integer, l.attempt, l.stalled,
        abs(s.seq) <> l.job_id OR l."group" IS NOT NULL, l."group"
    FROM listed l
    CROSS JOIN LATERAL (SELECT coalesce(l.seq, nextval('pgqueue.job_seq')) AS seq) AS s
    WHERE l.state = 'waiting'
), arrived AS (
    INSERT INTO pgqueue.arrival (queue_id, "group")
    SELECT DISTINCT l.queue_id, l."group" FROM listed l
    WHERE l.state = 'waiting' AND l."group" IS NOT NULL
), later AS (
    INSERT INTO pgqueue.delayed
        (job_id, run_at, queue_id, priority, attempt, stalled, "group")
    SELECT l.job_id, clock_timestamp() + l.delay * interval '1 second', l.queue_id,
        l.priority, l.attempt, l.stalled, l."group"
    FROM listed l WHERE l.state = 'delayed'
), blocked AS (
    INSERT INTO pgqueue.blocked (job_id, queue_id, priority, attempt, stalled, "group")
    SELECT l.job_id, l.queue_id, l.priority, l.attempt, l.stalled, l."group"
    FROM listed l WHERE l.state = 'waiting_children'
), freed AS MATERIALIZED (
    DELETE FROM pgqueue.dependency d USING listed l
    WHERE d.queue_id = ANY(%(queue_ids)s) AND d.child_id = ANY(ARRAY(
            SELECT c.job_id FROM listed c WHERE c.child AND c.ended IS NOT NULL))
        AND l.queue_id = d.queue_id AND l.job_id = d.child_id
    RETURNING d.queue_id, d.child_id, d.parent_queue_id, d.parent_id, d.policy,
        l.ended, l.result, l.error
), settled AS (
    INSERT INTO pgqueue.settled (queue_id, parent_id, child_queue_id, child_id, state,
        policy, result, error)
    SELECT f.parent_queue_id, f.parent_id, f.queue_id, f.child_id, f.ended, f.policy,
        f.result, f.error
    FROM freed f WHERE (f.ended = 'completed' OR f.policy <> 'remove')
        -- Nobody will ask for what is left to a parent that ends here too, and is gone.
        AND NOT EXISTS (SELECT FROM removed r WHERE r.flow
            AND r.queue_id = f.parent_queue_id AND r.id = f.parent_id)
    ON CONFLICT DO NOTHING
), noted AS (
    INSERT INTO pgqueue.event (queue_id, job_id, name, data)
    SELECT l.queue_id, l.job_id, e.name, CASE e.name
        WHEN 'completed' THEN json_build_object('result', l.result)
        WHEN 'failed' THEN json_build_object('reason', l.error, 'attempt', l.run)
        WHEN 'retries_exhausted' THEN json_build_object('attempt', l.run)
        WHEN 'delayed' THEN json_build_object('delay', l.delay, 'reason', l.error)
        WHEN 'waiting' THEN json_build_object('reason', l.error) END
    FROM listed l CROSS JOIN LATERAL (
        SELECT 'retries_exhausted' AS name WHERE l.exhausted
        UNION ALL SELECT coalesce(l.ended, l.state)) AS e
    WHERE l.job IS NOT NULL AND l.queue_id IN (
        SELECT q.id FROM pgqueue.queue q WHERE q.id = ANY(%(queue_ids)s) AND q.events)
)
SELECT l.job, f.parent_queue_id, f.parent_id
FROM listed l
LEFT JOIN freed f ON f.queue_id = l.queue_id AND f.child_id = l.job_id
WHERE l.job IS NOT NULL
    -- Asked of the body as it was deleted: the claim does not know of later children.
    -- By its text: to parse it would cost every job more than to look in vain for few.
    -- After `freed` is through: a row that is deleted inside of a statement must not be
    -- met again by the statement itself.
    AND (SELECT count(pgqueue.disown(r.queue_id, r.id)) FROM removed r
        WHERE r.flow AND (SELECT count(*) FROM freed) >= 0) >= 0
