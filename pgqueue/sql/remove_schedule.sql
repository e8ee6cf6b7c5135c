-- remove_schedule: schedule -> removed
-- Remove a schedule and name its pending job, which goes next.
DELETE FROM pgqueue.schedule s
WHERE s.queue_id = (SELECT q.id FROM pgqueue.queue q WHERE q.name = %(queue)s)
    AND s.key = %(key)s
RETURNING s.job_id
