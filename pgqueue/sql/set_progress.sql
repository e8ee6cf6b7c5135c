-- set_progress: progress
-- Store how far a job is, in whatever state, without a lease. Its body is locked, so that
-- the row does not outlive it.
WITH body AS MATERIALIZED (
    SELECT b.queue_id, b.id FROM pgqueue.queue q
    JOIN pgqueue.job b ON b.queue_id = q.id AND b.id = %(job_id)s
    WHERE q.name = %(queue)s FOR KEY SHARE OF b
), noted AS (
    INSERT INTO pgqueue.event (queue_id, job_id, name, data)
    SELECT b.queue_id, b.id, 'progress', json_build_object('progress', %(value)s::json)
    FROM body b JOIN pgqueue.queue q ON q.id = b.queue_id AND q.events
)
INSERT INTO pgqueue.progress AS p (job_id, updated_at, queue_id, value)
SELECT b.id, clock_timestamp(), b.queue_id, %(value)s::json FROM body b
ON CONFLICT (queue_id, job_id)
DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at
RETURNING p.job_id
