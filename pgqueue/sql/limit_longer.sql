-- limit_longer: settings
-- A handler met a limit: let no job of the queue start for some seconds, if it is not
-- held for longer already. Nobody sleeps who should know; claims find out.
UPDATE pgqueue.queue
SET limited_until =
    greatest(limited_until, clock_timestamp() + %(delay)s * interval '1 second')
WHERE id = %(queue_id)s
