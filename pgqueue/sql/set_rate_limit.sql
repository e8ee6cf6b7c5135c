-- set_rate_limit: settings
-- From the commit on, so many starts in any window, or any number. The starts of a rate
-- that is changed still count; those of one that is removed are forgotten.
WITH changed AS (
    UPDATE pgqueue.queue
    SET rate_max = %(max)s::integer, rate_window = %(per)s::double precision
    WHERE id = %(queue_id)s RETURNING id
), forgotten AS (
    DELETE FROM pgqueue.rate r
    WHERE r.queue_id = %(queue_id)s AND %(max)s::integer IS NULL
)
SELECT pgqueue.ring(id) FROM changed
