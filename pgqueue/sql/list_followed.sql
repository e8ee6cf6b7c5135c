-- list_followed: read
-- Which of these queues have followers, or had: events are left.
SELECT q.id, q.events FROM pgqueue.queue q
WHERE q.id = ANY(%(queue_ids)s) AND (q.events
    OR EXISTS (SELECT FROM pgqueue.event e WHERE e.queue_id = q.id))
