-- trim_group_rates: -> removed
-- Forget starts that no window of their group reaches any more.
WITH gone AS (
    DELETE FROM pgqueue.group_rate WHERE ctid = ANY(ARRAY(
        SELECT r.ctid FROM pgqueue.group_rate r
        WHERE r.queue_id = %(queue_id)s
            AND r.passed_at < (SELECT clock_timestamp()) - interval '1 second'
        ORDER BY r.passed_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    ))
    RETURNING 1
)
SELECT count(*) FROM gone
