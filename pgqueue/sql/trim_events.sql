-- trim_events: event ->
-- Remove a batch of events: all of a queue that nobody follows, else those that are too
-- old or, if `by_count`, too many. Consumers that had not read them yet are marked.
WITH bound AS MATERIALIZED (
    SELECT q.id, q.events,
        clock_timestamp() - q.event_age * interval '1 second' AS oldest, q.event_count
    FROM pgqueue.queue q WHERE q.id = %(queue_id)s
), edge AS MATERIALIZED (
    SELECT e.xid, e.id FROM pgqueue.event e
    WHERE e.queue_id = %(queue_id)s AND %(by_count)s
    ORDER BY e.xid DESC, e.id DESC OFFSET (SELECT b.event_count FROM bound b) LIMIT 1
), gone AS MATERIALIZED (
    DELETE FROM pgqueue.event WHERE ctid = ANY(ARRAY(
        SELECT n.ctid FROM (
            SELECT e.ctid, e.at, e.xid, e.id FROM pgqueue.event e
            WHERE e.queue_id = %(queue_id)s
            ORDER BY e.xid, e.id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
        ) AS n CROSS JOIN bound b
        WHERE NOT b.events OR n.at < b.oldest
            OR (n.xid, n.id) <= ((SELECT g.xid FROM edge g), (SELECT g.id FROM edge g))
    ))
    RETURNING xid, id
), last AS MATERIALIZED (
    SELECT g.xid, g.id FROM gone g ORDER BY g.xid DESC, g.id DESC LIMIT 1
), marked AS (
    UPDATE pgqueue.subscriber s SET lost = true FROM last l
    WHERE s.queue_id = %(queue_id)s AND (s.xid, s.event_id) < (l.xid, l.id)
        AND NOT s.lost
)
SELECT count(*) FROM gone
