-- ring_queue: doorbell
-- Wake who sleeps on a queue, when this transaction commits.
SELECT pgqueue.ring(%(queue_id)s)
