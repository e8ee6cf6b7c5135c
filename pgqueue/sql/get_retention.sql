-- get_retention: read
-- What a queue keeps, and how many events; no row: it was never used.
SELECT q.completed_age, q.completed_count, q.failed_age, q.failed_count,
    q.event_age, q.event_count
FROM pgqueue.queue q WHERE q.name = %(queue)s
