-- mark_cancelled: active
-- Ask the worker that runs a job to stop it: a mark that lasts, and a ring that is quick.
-- The lease is locked, so that the run does not end unnoticed meanwhile.
WITH held AS MATERIALIZED (
    SELECT l.queue_id FROM pgqueue.queue q JOIN pgqueue.lease l ON l.queue_id = q.id
    WHERE q.name = %(queue)s AND %(job_id)s::bigint = ANY(l.job_ids)
    FOR SHARE OF l
), marked AS (
    INSERT INTO pgqueue.cancelled (queue_id, job_id)
    SELECT h.queue_id, %(job_id)s FROM held h
    ON CONFLICT DO NOTHING
)
SELECT h.queue_id, pg_notify('pgqueue.doorbell', 'cancel ' || %(job_id)s::bigint)
FROM held h
