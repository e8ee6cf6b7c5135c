-- shift_calendar: settings
-- What shift_clock moves back keeps its calendar: a schedule, and each job of it, counts
-- how much time has passed since it was made. So a rule is read as if the clock had moved,
-- and a job still says for which occurrence it is. The text of the data stays as it is.
WITH by AS MATERIALIZED (
    SELECT seconds, seconds * interval '1 second' AS time
    FROM (SELECT %(seconds)s::double precision) AS given(seconds)
), job_moved AS (
    UPDATE pgqueue.job SET options = (options::jsonb || jsonb_build_object(
        'travelled', by.seconds + coalesce((options->>'travelled')::double precision, 0),
        'scheduled_at', to_char(
            ((options->>'scheduled_at')::timestamptz - by.time) AT TIME ZONE 'UTC',
            'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')))::json
    FROM by WHERE options->>'scheduled_at' IS NOT NULL
)
UPDATE pgqueue.schedule s
SET rule = (s.rule::jsonb || moved.by)::json, template = (
    SELECT json_object_agg(part.key, part.value) FROM (
        SELECT each.key, each.value FROM json_each(s.template) AS each
        WHERE each.key <> 'options'
        UNION ALL
        SELECT 'options', (coalesce(s.template->'options', '{}')::jsonb || moved.by)::json
    ) AS part
)
FROM (
    SELECT o.queue_id, o.key, jsonb_build_object('travelled',
        by.seconds + coalesce((o.rule->>'travelled')::double precision, 0)) AS by
    FROM pgqueue.schedule o, by
) AS moved
WHERE s.queue_id = moved.queue_id AND s.key = moved.key
