-- subscribe: -> subscriber
-- Let the queue's events be written, and keep a place for one consumer: where it was, or
-- the first event there is, or at this transaction. What commits later comes after that,
-- once nobody is left who may have missed the flag (writers_under_way).
WITH followed AS (
    UPDATE pgqueue.queue SET events = true WHERE id = %(queue_id)s RETURNING id
)
INSERT INTO pgqueue.subscriber AS s (queue_id, consumer, xid, event_id, seen_at)
SELECT f.id, %(consumer)s,
    CASE WHEN %(begin)s THEN 0 ELSE pg_current_xact_id()::text::bigint END, 0,
    clock_timestamp()
FROM followed f
ON CONFLICT (queue_id, consumer) DO UPDATE SET seen_at = excluded.seen_at
RETURNING s.xid, s.event_id
