-- next_due: read
-- Seconds until the next delayed job of a queue is due (negative: it is), or null; and
-- whether the queue is limited, so that claim_jobs gives nothing, or has groups.
SELECT (
        SELECT extract(epoch FROM d.run_at - clock_timestamp())::double precision
        FROM pgqueue.delayed d
        WHERE d.queue_id = %(queue_id)s AND d.run_at >= to_timestamp(%(low)s)
        ORDER BY d.run_at LIMIT 1
    ),
    q.concurrency IS NOT NULL OR q.rate_max IS NOT NULL
        OR coalesce(q.limited_until > clock_timestamp(), false) OR q.grouped,
    q.grouped
FROM pgqueue.queue q WHERE q.id = %(queue_id)s
