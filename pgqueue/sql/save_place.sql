-- save_place: subscriber
-- Note up to where a consumer has come, and that it lives; it never goes back.
UPDATE pgqueue.subscriber s
SET xid = %(xid)s, event_id = %(event_id)s, seen_at = clock_timestamp(),
    lost = s.lost AND NOT %(told)s
WHERE s.queue_id = %(queue_id)s AND s.consumer = %(consumer)s
    AND (s.xid, s.event_id) <= (%(xid)s, %(event_id)s)
