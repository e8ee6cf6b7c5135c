-- set_event_bounds: settings
-- The next maintenance trims the events of a queue by these; null leaves a bound as it is.
UPDATE pgqueue.queue SET
    event_age = coalesce(%(age)s::double precision, event_age),
    event_count = coalesce(%(count)s::bigint, event_count)
WHERE id = %(queue_id)s
