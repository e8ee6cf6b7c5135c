-- list_metrics: read
-- What each worker did in each of the last minutes of a queue, the newest first.
SELECT m.minute, m.completed, m.failed, m.latency, m.duration FROM pgqueue.metric m
WHERE m.queue_id = (SELECT q.id FROM pgqueue.queue q WHERE q.name = %(queue)s)
    AND m.minute > (SELECT clock_timestamp() - %(minutes)s * interval '1 minute')
ORDER BY m.minute DESC
