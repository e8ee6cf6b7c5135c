-- reset_queue: settings
-- Make a queue as if it was never used; its id stays, because workers remember it.
UPDATE pgqueue.queue
SET paused = false, completed_age = DEFAULT, completed_count = DEFAULT,
    failed_age = DEFAULT, failed_count = DEFAULT, concurrency = NULL, rate_max = NULL,
    rate_window = NULL, limited_until = NULL, event_age = DEFAULT, event_count = DEFAULT
WHERE id = %(queue_id)s
