-- make_schedule: nothing -> schedule
-- Make the row of a schedule if there is none, without a job, for hold_schedule to lock:
-- of two that make it at the same time the second one waits here for the first.
INSERT INTO pgqueue.schedule (queue_id, key, iteration, rule, template)
VALUES (%(queue_id)s, %(key)s, -1, %(rule)s, %(template)s)
ON CONFLICT (queue_id, key) DO NOTHING
