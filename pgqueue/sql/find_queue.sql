-- find_queue: read
-- The id of a queue, made on first use.
SELECT pgqueue.queue_id(%(queue)s)
