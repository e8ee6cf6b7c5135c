-- get_limits: read
-- The limits of a queue; no row: it was never used.
SELECT q.concurrency, q.rate_max, q.rate_window,
    CASE WHEN q.limited_until > clock_timestamp() THEN q.limited_until END
FROM pgqueue.queue q WHERE q.name = %(queue)s
