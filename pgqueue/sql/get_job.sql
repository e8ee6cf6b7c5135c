-- get_job: read
-- One job with where it stands, in one snapshot. A job that was never put back stands
-- in `ready` at a position that follows from its body; the others are found as moved.
-- One branch a position: as an array both would be a filter on the whole lane.
SELECT b.id, b.name, b.data::text, s.state, b.created_at, coalesce(s.priority, b.priority),
    s.attempt, b.attempts, s.stalled, s.run_at, s.started_at, s.finished_at,
    p.value::text, s.result::text, coalesce(s.error, a.error), b.key, s.worker,
    b.options::text, b.parent_id, b."group"
FROM pgqueue.queue q
JOIN pgqueue.job b ON b.queue_id = q.id AND b.id = %(job_id)s
JOIN LATERAL (
    SELECT 'waiting' AS state, r.priority, r.attempt, r.stalled,
        NULL::timestamptz AS run_at, NULL::timestamptz AS started_at,
        NULL::timestamptz AS finished_at, NULL::json AS result, NULL::text AS error,
        NULL::text AS worker
    FROM pgqueue.ready r
    WHERE r.queue_id = b.queue_id AND r.priority = b.priority AND r.seq = b.id
    UNION ALL
    SELECT 'waiting', r.priority, r.attempt, r.stalled,
        NULL, NULL, NULL, NULL, NULL, NULL
    FROM pgqueue.ready r
    WHERE r.queue_id = b.queue_id AND r.priority = b.priority AND r.seq = -b.id
    UNION ALL
    SELECT 'waiting', r.priority & 2097151, r.attempt, r.stalled,
        NULL, NULL, NULL, NULL, NULL, NULL
    FROM pgqueue.ready r
    WHERE r.queue_id = b.queue_id AND r.job_id = b.id AND r.moved
    UNION ALL
    SELECT 'delayed', d.priority, d.attempt, d.stalled,
        d.run_at, NULL, NULL, NULL, NULL, NULL
    FROM pgqueue.delayed d WHERE d.queue_id = b.queue_id AND d.job_id = b.id
    UNION ALL
    SELECT 'waiting_children', w.priority, w.attempt, w.stalled,
        w.run_at, NULL, NULL, NULL, NULL, NULL
    FROM pgqueue.blocked w WHERE w.queue_id = b.queue_id AND w.job_id = b.id
    UNION ALL
    SELECT 'active', NULL, l.attempts[array_position(l.job_ids, b.id)],
        l.stalls[array_position(l.job_ids, b.id)],
        NULL, l.claimed_at, NULL, NULL, NULL, w.name
    FROM pgqueue.lease l LEFT JOIN pgqueue.worker w ON w.id = l.worker_id
    WHERE l.queue_id = b.queue_id AND b.id = ANY(l.job_ids)
    UNION ALL
    SELECT f.state, NULL, f.attempt, f.stalled,
        NULL, f.started_at, f.finished_at, f.result, f.error, NULL
    FROM pgqueue.finished f WHERE f.queue_id = b.queue_id AND f.job_id = b.id
) AS s ON true
LEFT JOIN pgqueue.progress p ON p.queue_id = b.queue_id AND p.job_id = b.id
LEFT JOIN LATERAL (
    SELECT t.error FROM pgqueue.attempt t
    WHERE t.queue_id = b.queue_id AND t.job_id = b.id AND s.attempt > 0
        AND s.state <> 'completed'
    ORDER BY t.finished_at DESC LIMIT 1
) AS a ON true
WHERE q.name = %(queue)s
