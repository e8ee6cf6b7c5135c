-- list_paused: read
-- Which of these queues are paused.
SELECT q.id FROM pgqueue.queue q WHERE q.id = ANY(%(queue_ids)s) AND q.paused
