-- look_at_groups: doorbell
-- What look_at_limits says, of a queue with groups: may a job start, in how many seconds,
-- does one wait that is not paused; and may one of a group. None of it walks over jobs.
SELECT true, s.room, CASE WHEN r.free > 0
        -- Each by itself: before PostgreSQL 17 infinity cannot be subtracted from.
        THEN date_part('epoch', s.until) - date_part('epoch', clock_timestamp())
        ELSE r.wait END,
    s.plain OR s.open OR s.until IS NOT NULL,
    CASE WHEN %(ring)s AND s.room THEN (SELECT 1 FROM pgqueue.ring(%(queue_id)s)) END,
    s.room AND s.open
FROM pgqueue.room(%(queue_id)s) AS r
CROSS JOIN LATERAL (
    SELECT f.plain, f.open, f.until, r.free > 0 AND (f.plain OR f.open) AS room
    FROM (
        SELECT (
            SELECT true FROM pgqueue.ready n
            WHERE n.queue_id = %(queue_id)s AND n.priority < 2097152
            ORDER BY n.priority, n.seq LIMIT 1
        ) IS NOT NULL AS plain, (
            SELECT true FROM pgqueue.line l WHERE l.queue_id = %(queue_id)s
                AND l.until IS NULL AND l.turn >= %(from_turn)s
            ORDER BY l.turn LIMIT 1
        ) IS NOT NULL OR (
            SELECT true FROM pgqueue.arrival a WHERE a.queue_id = %(queue_id)s
            ORDER BY a.id LIMIT 1
        ) IS NOT NULL OR (
            SELECT true FROM pgqueue.line l
            WHERE l.queue_id = %(queue_id)s AND l.until <= (SELECT clock_timestamp())
            ORDER BY l.until, l.turn LIMIT 1
        ) IS NOT NULL OR (
            SELECT true FROM pgqueue.line_room l
            WHERE l.queue_id = %(queue_id)s AND l.until = 'infinity' AND (l.free > 0 OR l.held)
            ORDER BY l.turn LIMIT 1
        ) IS NOT NULL AS open, (
            SELECT l.until FROM pgqueue.line l
            WHERE l.queue_id = %(queue_id)s AND l.until IS NOT NULL
            ORDER BY l.until, l.turn LIMIT 1
        ) AS until
    ) AS f
) AS s
