-- forget_groups: settings
-- Forget what groups of a queue may do. The line stays: an arrival may have committed
-- since its jobs were removed, and a group without jobs leaves it by itself.
WITH unlimited AS (
    DELETE FROM pgqueue.group_limit g WHERE g.queue_id = %(queue_id)s
)
DELETE FROM pgqueue.group_rate r WHERE r.queue_id = %(queue_id)s
