-- list_workers: read
-- The workers of a queue that have not signed off, and how many of its jobs each holds.
SELECT w.id, w.name, w.host, w.pid, w.queues, w.concurrency, w.started_at,
    w.heartbeat_at, a.active,
    w.dead_at IS NULL
        AND w.heartbeat_at >= clock_timestamp() - w.lease * interval '1 second'
FROM pgqueue.worker w
CROSS JOIN LATERAL (
    SELECT coalesce(sum(cardinality(l.job_ids)), 0)::bigint AS active
    FROM pgqueue.lease l
    WHERE l.worker_id = w.id
        AND l.queue_id = (SELECT q.id FROM pgqueue.queue q WHERE q.name = %(queue)s)
) AS a
WHERE %(queue)s = ANY(w.queues) AND (w.dead_at IS NULL OR a.active > 0)
ORDER BY w.started_at, w.id
