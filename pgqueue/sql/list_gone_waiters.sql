-- list_gone_waiters: read
-- Consumers that a call of result() made for itself, and that died with it.
SELECT s.queue_id, s.consumer FROM pgqueue.subscriber s
WHERE s.queue_id = %(queue_id)s AND s.consumer LIKE 'result:%%'
    AND s.seen_at < clock_timestamp() - interval '1 minute'
