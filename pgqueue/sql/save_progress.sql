-- save_progress: active
-- Store what a handler reports, if its worker's lease still lists the job.
WITH held AS (
    SELECT l.queue_id FROM pgqueue.lease l
    WHERE l.queue_id = %(queue_id)s AND l.worker_id = %(worker_id)s
        AND l.id = %(lease_id)s AND %(job_id)s = ANY(l.job_ids)
    FOR SHARE
), noted AS (
    INSERT INTO pgqueue.event (queue_id, job_id, name, data)
    SELECT h.queue_id, %(job_id)s, 'progress',
        json_build_object('progress', %(value)s::json)
    FROM held h JOIN pgqueue.queue q ON q.id = h.queue_id AND q.events
)
INSERT INTO pgqueue.progress AS p (job_id, updated_at, queue_id, value)
SELECT %(job_id)s, clock_timestamp(), h.queue_id, %(value)s::json FROM held h
ON CONFLICT (queue_id, job_id)
DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at
RETURNING p.job_id
