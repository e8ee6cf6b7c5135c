-- find_upkeep: read
-- What a round of maintenance has to do, so that one with nothing to do is one statement:
-- a row for each queue. It may say too much, never too little. In order and LIMIT 1: a
-- step into an index; EXISTS might be answered by a hash of a whole table.
WITH now AS MATERIALIZED (
    SELECT clock_timestamp() AS instant
), whole AS MATERIALIZED (
    SELECT coalesce((
        SELECT true FROM pgqueue.worker w
        WHERE w.dead_at < n.instant - interval '1 hour' OR (w.dead_at IS NULL
            AND w.heartbeat_at < n.instant - w.lease * interval '1 second') LIMIT 1
    ), (
        SELECT true FROM pgqueue.lease l
        WHERE l.claimed_at < n.instant - interval '1 second' AND NOT EXISTS (
            SELECT FROM pgqueue.worker w WHERE w.id = l.worker_id AND w.dead_at IS NULL)
        LIMIT 1
    ), false) AS lost, (
        SELECT b.job_id FROM pgqueue.blocked b ORDER BY b.queue_id, b.job_id LIMIT 1
    ) IS NOT NULL AS parents
    FROM now n
)
SELECT a.queue_id, whole.lost, whole.parents, (
        SELECT s.job_id FROM pgqueue.schedule s
        WHERE s.queue_id = a.queue_id AND s.job_id IS NOT NULL ORDER BY s.key LIMIT 1
    ) IS NOT NULL, q.events, q.events OR (
        SELECT e.id FROM pgqueue.event e WHERE e.queue_id = a.queue_id
        ORDER BY e.xid DESC, e.id DESC LIMIT 1
    ) IS NOT NULL, (
        SELECT f.job_id FROM pgqueue.finished f WHERE f.queue_id = a.queue_id
            AND f.expires_at <= n.instant AND f.expires_at >= to_timestamp(a.low)
        ORDER BY f.expires_at LIMIT 1
    ) IS NOT NULL, coalesce((
        SELECT f.job_id FROM pgqueue.finished f WHERE f.queue_id = a.queue_id
            AND f.state = 'completed' AND f.keep_count IS NOT NULL
        ORDER BY f.finished_at DESC LIMIT 1
    ), (
        SELECT f.job_id FROM pgqueue.finished f WHERE f.queue_id = a.queue_id
            AND f.state = 'failed' AND f.keep_count IS NOT NULL
        ORDER BY f.finished_at DESC LIMIT 1
    )) IS NOT NULL, coalesce((
        SELECT c.job_id FROM pgqueue.cancelled c WHERE c.queue_id = a.queue_id
        ORDER BY c.job_id LIMIT 1
    ), (
        SELECT d.job_id FROM pgqueue.dedup d WHERE d.queue_id = a.queue_id
        ORDER BY d.dedup_id LIMIT 1
    )) IS NOT NULL, coalesce((
        SELECT true FROM pgqueue.group_rate r WHERE r.queue_id = a.queue_id
        ORDER BY r.passed_at DESC LIMIT 1
    ), (
        SELECT true FROM pgqueue.group_limit g WHERE g.queue_id = a.queue_id
            AND g.limited_until IS NOT NULL ORDER BY g.limited_until LIMIT 1
    )) IS NOT NULL, coalesce(
        (SELECT g.job_id FROM pgqueue.log g WHERE g.queue_id = a.queue_id
        ORDER BY g.job_id DESC LIMIT 1), (SELECT p.job_id FROM pgqueue.progress p
        WHERE p.queue_id = a.queue_id ORDER BY p.job_id DESC LIMIT 1)) IS NOT NULL
FROM unnest(%(queue_ids)s::integer[], %(lows)s::double precision[]) AS a(queue_id, low)
JOIN pgqueue.queue q ON q.id = a.queue_id CROSS JOIN now n CROSS JOIN whole
