-- set_concurrency: settings
-- From the commit on, so many jobs of the queue are active at once, or any number; wake
-- who sleeps, to look again.
WITH changed AS (
    UPDATE pgqueue.queue SET concurrency = %(concurrency)s::integer
    WHERE id = %(queue_id)s RETURNING id
)
SELECT pgqueue.ring(id) FROM changed
