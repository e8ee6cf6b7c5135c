-- hold_schedule: read
-- A schedule, locked until the transaction ends, and the database's clock. Who advances
-- schedules skips rows that are locked, so that a worker never waits for a caller.
SELECT s.next_at, s.last_at, s.job_id, s.iteration, s.paused, s.rule::text, s.template::text,
    clock_timestamp()
FROM pgqueue.schedule s
WHERE s.queue_id = %(queue_id)s AND s.key = %(key)s FOR UPDATE
