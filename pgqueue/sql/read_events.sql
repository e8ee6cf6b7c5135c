-- read_events: read
-- A page of events after a place, with whether some before it were lost; no row at all if
-- nobody is subscribed under this name. Only below the oldest open transaction: nothing
-- can appear there any more, so no place is passed too early.
SELECT s.lost, clock_timestamp(), e.xid, e.id, e.at, e.job_id, e.name, e.data::text
FROM pgqueue.subscriber s
LEFT JOIN LATERAL (
    SELECT n.* FROM pgqueue.event n
    WHERE n.queue_id = %(queue_id)s AND (n.xid, n.id) > (%(xid)s, %(event_id)s)
        AND n.xid < (SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint)
    ORDER BY n.xid, n.id LIMIT %(limit)s
) AS e ON true
WHERE s.queue_id = %(queue_id)s AND s.consumer = %(consumer)s
ORDER BY e.xid, e.id
