-- look_for_cancelled: read
-- The jobs that this worker runs and is asked to stop; sent with each heartbeat.
SELECT c.job_id FROM pgqueue.cancelled c
JOIN pgqueue.lease l ON l.queue_id = c.queue_id AND c.job_id = ANY(l.job_ids)
WHERE l.worker_id = %(worker_id)s
