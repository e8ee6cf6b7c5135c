-- release_parents: waiting_children -> waiting, delayed, failed
-- Let parents go on whose children have settled; sent after that has committed.
SELECT r.queue_id, r.job_id, r.parent_queue_id, r.parent_id
FROM pgqueue.release(%(queue_ids)s::integer[], %(job_ids)s::bigint[]) AS r
