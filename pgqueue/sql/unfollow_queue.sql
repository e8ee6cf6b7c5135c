-- unfollow_queue: settings
-- Write no more events of a queue that nobody is subscribed to; run hold_queue before.
UPDATE pgqueue.queue q SET events = false
WHERE q.id = %(queue_id)s AND q.events
    AND NOT EXISTS (SELECT FROM pgqueue.subscriber s WHERE s.queue_id = q.id)
