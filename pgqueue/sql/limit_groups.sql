-- limit_groups: settings
-- Set what each group of a queue may do that has no limit of its own. Held by this, the
-- queue gets its first job of a group after it; until then no claim looks for groups.
WITH changed AS (
    UPDATE pgqueue.queue
    SET group_concurrency = CASE WHEN %(set_concurrency)s THEN %(concurrency)s::integer
            ELSE group_concurrency END,
        group_rate_max = CASE WHEN %(set_rate)s THEN %(max)s::integer
            ELSE group_rate_max END,
        group_rate_window = CASE WHEN %(set_rate)s THEN %(per)s::double precision
            ELSE group_rate_window END
    WHERE id = %(queue_id)s RETURNING id, grouped
), again AS (
    INSERT INTO pgqueue.arrival (queue_id, again) SELECT c.id, true FROM changed c
    WHERE c.grouped
)
SELECT pgqueue.ring(c.id) FROM changed c
