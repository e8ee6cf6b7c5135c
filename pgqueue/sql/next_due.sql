-- next_due: read
-- Seconds until the next delayed job of a queue is due (negative: it is), or null.
SELECT extract(epoch FROM d.run_at - clock_timestamp())::double precision
FROM pgqueue.delayed d
WHERE d.queue_id = %(queue_id)s AND d.run_at >= to_timestamp(%(low)s)
ORDER BY d.run_at LIMIT 1
