-- unsubscribe: subscriber ->
-- Forget a consumer's place; run hold_queue before, and unfollow_queue after.
DELETE FROM pgqueue.subscriber s
WHERE s.queue_id = %(queue_id)s AND s.consumer = %(consumer)s
RETURNING s.consumer
