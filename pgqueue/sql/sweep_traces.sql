-- sweep_traces: log, progress ->
-- Remove lines and progress that were told from outside while their job ended and went. A
-- round goes a batch further; null says that it came to the end.
WITH lines AS MATERIALIZED (
    SELECT g.job_id FROM pgqueue.log g
    WHERE g.queue_id = %(queue_id)s AND g.job_id > %(after)s
    ORDER BY g.job_id LIMIT %(limit)s
), told AS MATERIALIZED (
    SELECT p.job_id FROM pgqueue.progress p
    WHERE p.queue_id = %(queue_id)s AND p.job_id > %(after)s
    ORDER BY p.job_id LIMIT %(limit)s
), unlogged AS (
    DELETE FROM pgqueue.log g
    WHERE g.queue_id = %(queue_id)s AND g.job_id = ANY(ARRAY(
        -- Not NOT EXISTS: that may become a walk over all jobs of the queue.
        SELECT DISTINCT s.job_id FROM lines s WHERE (
            SELECT j.id FROM pgqueue.job j
            WHERE j.queue_id = %(queue_id)s AND j.id = s.job_id) IS NULL))
), silenced AS (
    DELETE FROM pgqueue.progress p
    WHERE p.queue_id = %(queue_id)s AND p.job_id = ANY(ARRAY(
        SELECT s.job_id FROM told s WHERE (
            SELECT j.id FROM pgqueue.job j
            WHERE j.queue_id = %(queue_id)s AND j.id = s.job_id) IS NULL))
)
SELECT least(
    (SELECT CASE WHEN count(*) = %(limit)s THEN max(s.job_id) END FROM lines s),
    (SELECT CASE WHEN count(*) = %(limit)s THEN max(s.job_id) END FROM told s))
