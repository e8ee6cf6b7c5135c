-- trim_metrics: metric ->
-- Remove a batch of the minutes of a queue that are older than a week.
WITH gone AS (
    DELETE FROM pgqueue.metric WHERE ctid = ANY(ARRAY(
        SELECT m.ctid FROM pgqueue.metric m
        WHERE m.queue_id = %(queue_id)s
            AND m.minute < (SELECT clock_timestamp() - interval '7 days')
        ORDER BY m.minute LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    ))
    RETURNING minute
)
SELECT count(*) FROM gone
