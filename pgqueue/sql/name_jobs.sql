-- name_jobs: read
-- What jobs are called that are called by more than their number: by a key, or by an
-- occurrence of a schedule.
SELECT j.id, j.key, j.options ->> 'schedule', j.options ->> 'scheduled_at'
FROM pgqueue.job j
WHERE j.queue_id = (SELECT q.id FROM pgqueue.queue q WHERE q.name = %(queue)s)
    AND j.id = ANY(%(job_ids)s)
    AND (j.key IS NOT NULL OR j.options ->> 'schedule' IS NOT NULL)
