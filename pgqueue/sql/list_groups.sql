-- list_groups: read
-- A page of the groups of a queue that have waiting or active jobs, or a limit of their
-- own, by name; or the one that is asked for, whatever it has. From each name to the next
-- one by index, past all jobs between.
WITH RECURSIVE q AS (
    SELECT * FROM pgqueue.queue WHERE name = %(queue)s
), found AS (
    SELECT coalesce(%(only)s::text, %(after)s::text) COLLATE "C" AS name,
        num_nonnulls(%(only)s::text) AS nth
    UNION ALL
    SELECT least((
            SELECT r."group" FROM pgqueue.ready r
            WHERE r.queue_id = (SELECT q.id FROM q) AND r."group" > f.name
            ORDER BY r."group" LIMIT 1
        ), (
            SELECT l."group" FROM pgqueue.lease l
            WHERE l.queue_id = (SELECT q.id FROM q) AND l."group" > f.name
            ORDER BY l."group" LIMIT 1
        ), (
            SELECT g."group" FROM pgqueue.group_limit g
            WHERE g.queue_id = (SELECT q.id FROM q) AND g."group" > f.name
                AND (g.paused OR num_nonnulls(g.concurrency, g.rate_max) > 0)
            ORDER BY g."group" LIMIT 1
        )), f.nth + 1
    FROM found f WHERE f.name IS NOT NULL AND f.nth < %(limit)s
)
SELECT s.* FROM (
    SELECT f.name, w.jobs, a.jobs, coalesce(g.paused, false),
        coalesce(g.concurrency, q.group_concurrency),
        k.rate_max, k.rate_window,
        CASE WHEN g.paused THEN 'paused' WHEN w.jobs = 0 THEN 'idle'
            WHEN coalesce(g.concurrency, q.group_concurrency) <= a.jobs THEN 'full'
            WHEN g.limited_until > clock_timestamp() OR k.rate_max <= (
                SELECT coalesce(sum(t.count), 0) FROM pgqueue.group_rate t
                WHERE t.queue_id = q.id AND t."group" = f.name
                    AND t.passed_at > clock_timestamp()) THEN 'limited'
            ELSE 'waiting' END AS state
    FROM q CROSS JOIN found f
    -- OFFSET 0 keeps it a look-up for each group: a join might read all limits.
    LEFT JOIN LATERAL (
        SELECT l.* FROM pgqueue.group_limit l
        WHERE l.queue_id = q.id AND l."group" = f.name OFFSET 0
    ) AS g ON true
    CROSS JOIN LATERAL (
        SELECT CASE WHEN g.rate_max IS NULL THEN q.group_rate_max ELSE g.rate_max
                END AS rate_max,
            CASE WHEN g.rate_max IS NULL THEN q.group_rate_window ELSE g.rate_window
                END AS rate_window
    ) AS k
    CROSS JOIN LATERAL (
        SELECT count(*) AS jobs FROM pgqueue.ready r
        WHERE r.queue_id = q.id AND r."group" = f.name
    ) AS w
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(cardinality(l.job_ids)), 0)::bigint AS jobs FROM pgqueue.lease l
        WHERE l.queue_id = q.id AND l."group" = f.name
    ) AS a
    WHERE f.nth > 0 AND f.name IS NOT NULL
) AS s(name, waiting, active, paused, concurrency, max, per, state)
ORDER BY s.name
