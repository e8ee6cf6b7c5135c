-- look_at_limits: doorbell
-- Is the queue limited, may a job start, in how many seconds, does one wait? If asked to,
-- wake who sleeps because there was no room, when there is some and a job to fill it.
SELECT r.limited, r.free > 0, r.wait, w.waiting,
    CASE WHEN %(ring)s AND r.free > 0 AND w.waiting
        THEN (SELECT 1 FROM pgqueue.ring(%(queue_id)s)) END
FROM pgqueue.room(%(queue_id)s) AS r
CROSS JOIN LATERAL (
    -- Not EXISTS: that drops the order, and with it the index.
    SELECT (
        SELECT true FROM pgqueue.ready n WHERE n.queue_id = %(queue_id)s
        ORDER BY n.priority, n.seq LIMIT 1
    ) IS NOT NULL AS waiting
) AS w
