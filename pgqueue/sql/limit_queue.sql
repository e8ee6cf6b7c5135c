-- limit_queue: settings
-- Let no job of the queue start for some seconds; 0 ends that. Wake who sleeps.
WITH changed AS (
    UPDATE pgqueue.queue
    SET limited_until = CASE WHEN %(delay)s::double precision > 0
        THEN clock_timestamp() + %(delay)s::double precision * interval '1 second' END
    WHERE id = %(queue_id)s RETURNING id
)
SELECT pgqueue.ring(id) FROM changed
