-- count_beating: read
-- How many workers of a host have renewed their leases in time, and how many there are.
SELECT count(*) FILTER (
        WHERE w.heartbeat_at >= clock_timestamp() - w.lease * interval '1 second'),
    count(*)
FROM pgqueue.worker w
WHERE w.host = %(host)s AND w.dead_at IS NULL
