-- trim_group_holds: settings
-- Forget which groups were held for a time that is over, with the row if it says no more.
WITH over AS MATERIALIZED (
    SELECT g.ctid AS place, g.paused OR num_nonnulls(g.concurrency, g.rate_max) > 0 AS stays
    FROM pgqueue.group_limit g
    WHERE g.queue_id = %(queue_id)s AND g.limited_until < (SELECT clock_timestamp())
    ORDER BY g.limited_until LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM pgqueue.group_limit
    WHERE ctid = ANY(ARRAY(SELECT o.place FROM over o WHERE NOT o.stays))
), kept AS (
    UPDATE pgqueue.group_limit SET limited_until = NULL
    WHERE ctid = ANY(ARRAY(SELECT o.place FROM over o WHERE o.stays))
)
SELECT count(*) FROM over
