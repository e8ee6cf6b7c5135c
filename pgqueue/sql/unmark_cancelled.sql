-- unmark_cancelled: cancelled ->
-- Forget marks of jobs that have ended; those of active jobs stay for their workers.
DELETE FROM pgqueue.cancelled c
WHERE c.queue_id = %(queue_id)s AND pgqueue.is_over(c.queue_id, c.job_id)
