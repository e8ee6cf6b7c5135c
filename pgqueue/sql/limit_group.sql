-- limit_group: settings
-- Set what a group may do; null leaves a limit to the queue's own for all groups. What is
-- not asked for stays as it is. A queue that never had a job of a group is claimed from
-- without the line, so nothing is said to it, which no claim would take in; held until
-- this commits, it gets its first job of a group after that.
WITH plain AS MATERIALIZED (
    SELECT q.id FROM pgqueue.queue q
    WHERE q.id = %(queue_id)s AND NOT q.grouped FOR NO KEY UPDATE
), changed AS (
    INSERT INTO pgqueue.group_limit AS g
        (queue_id, "group", paused, concurrency, rate_max, rate_window)
    SELECT %(queue_id)s, %(group)s, coalesce(%(paused)s::boolean, false),
        %(concurrency)s::integer, %(max)s::integer, %(per)s::double precision
    -- Counted, so that the queue is held before its group is.
    WHERE (SELECT count(*) FROM plain) >= 0 AND (
        coalesce(%(paused)s::boolean, true) OR EXISTS (
            SELECT FROM pgqueue.group_limit l
            WHERE l.queue_id = %(queue_id)s AND l."group" = %(group)s))
    ON CONFLICT (queue_id, "group") DO UPDATE
    SET paused = coalesce(%(paused)s::boolean, g.paused),
        concurrency = CASE WHEN %(set_concurrency)s THEN excluded.concurrency
            ELSE g.concurrency END,
        rate_max = CASE WHEN %(set_rate)s THEN excluded.rate_max ELSE g.rate_max END,
        rate_window = CASE WHEN %(set_rate)s THEN excluded.rate_window
            ELSE g.rate_window END
    -- What changes nothing writes nothing, and is told by no row.
    WHERE NOT (%(paused)s::boolean IS NOT DISTINCT FROM g.paused)
    RETURNING queue_id, "group"
), again AS (
    -- In line it is looked at anew by the next claim.
    INSERT INTO pgqueue.arrival (queue_id, "group", again)
    SELECT c.queue_id, c."group", true FROM changed c
    WHERE NOT EXISTS (SELECT FROM plain)
)
SELECT c."group", pgqueue.ring(c.queue_id) FROM changed c
