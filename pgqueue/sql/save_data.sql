-- save_data: active
-- Replace the data of a job that runs, if a lease still lists it: the next run has it.
WITH held AS (
    SELECT l.queue_id FROM pgqueue.lease l
    WHERE l.queue_id = %(queue_id)s AND l.id = %(lease_id)s
        AND %(job_id)s = ANY(l.job_ids)
    FOR SHARE
)
UPDATE pgqueue.job j SET data = %(data)s::json FROM held h
WHERE j.queue_id = h.queue_id AND j.id = %(job_id)s
RETURNING j.id
