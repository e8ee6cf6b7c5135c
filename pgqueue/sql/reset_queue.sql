-- reset_queue: settings
-- Make a queue as if it was never used; its id stays, because workers remember it. Starts
-- of a rate and times of deduplication go that would count against the jobs to come; not
-- the id of a job that was added meanwhile.
WITH unrated AS (
    DELETE FROM pgqueue.rate r WHERE r.queue_id = %(queue_id)s
), freed AS (
    DELETE FROM pgqueue.dedup d
    -- LIMIT keeps it a look-up for each: NOT EXISTS might be a walk over all jobs.
    WHERE d.queue_id = %(queue_id)s AND (
        SELECT j.id FROM pgqueue.job j
        WHERE j.queue_id = d.queue_id AND j.id = d.job_id LIMIT 1) IS NULL
)
UPDATE pgqueue.queue
SET paused = false, completed_age = DEFAULT, completed_count = DEFAULT,
    failed_age = DEFAULT, failed_count = DEFAULT, concurrency = NULL, rate_max = NULL,
    rate_window = NULL, limited_until = NULL, event_age = DEFAULT, event_count = DEFAULT,
    group_concurrency = NULL, group_rate_max = NULL, group_rate_window = NULL
WHERE id = %(queue_id)s
