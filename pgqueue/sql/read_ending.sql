-- read_ending: read
-- When a job finished; now, if it has not, or is not kept.
SELECT coalesce(
    (SELECT f.finished_at FROM pgqueue.finished f
        WHERE f.queue_id = %(queue_id)s AND f.job_id = %(job_id)s),
    clock_timestamp()
)
