-- save_schedule: schedule -> schedule, and its next job
-- Write a schedule that hold_schedule locked, and whose old job is gone or has begun.
WITH saved AS MATERIALIZED (
    UPDATE pgqueue.schedule s
    SET next_at = %(next_at)s, last_at = %(last_at)s, iteration = %(iteration)s, behind = 0,
        paused = %(paused)s, rule = %(rule)s, template = %(template)s,
        job_id = CASE WHEN %(next_at)s::timestamptz IS NOT NULL
            THEN nextval('pgqueue.job_seq') END
    WHERE s.queue_id = %(queue_id)s AND s.key = %(key)s
    RETURNING s.*
)
SELECT s.job_id, pgqueue.add_occurrence(s.queue_id, s.key, s.job_id, s.next_at, s.template)
FROM saved s WHERE s.job_id IS NOT NULL
