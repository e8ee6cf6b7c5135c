-- drop_limit: settings
-- Forget a group that may do what any other may: a row says what is special. Sent after
-- limit_group; one that is limited again meanwhile is looked at anew, and stays.
DELETE FROM pgqueue.group_limit g
WHERE g.queue_id = %(queue_id)s AND g."group" = %(group)s
    AND NOT g.paused AND num_nonnulls(g.concurrency, g.rate_max, g.limited_until) = 0
