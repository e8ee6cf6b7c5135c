-- sweep_logs: log ->
-- Remove lines that were logged from outside while their job ended and went. A round goes
-- a batch further; null says that it came to the end.
WITH seen AS MATERIALIZED (
    SELECT g.job_id FROM pgqueue.log g
    WHERE g.queue_id = %(queue_id)s AND g.job_id > %(after)s
    ORDER BY g.job_id LIMIT %(limit)s
), gone AS (
    DELETE FROM pgqueue.log g
    WHERE g.queue_id = %(queue_id)s AND g.job_id = ANY(ARRAY(
        -- Not NOT EXISTS: that may become a walk over all jobs of the queue.
        SELECT DISTINCT s.job_id FROM seen s WHERE (
            SELECT j.id FROM pgqueue.job j
            WHERE j.queue_id = %(queue_id)s AND j.id = s.job_id) IS NULL))
)
SELECT CASE WHEN count(*) = %(limit)s THEN max(s.job_id) END FROM seen s
