-- cancel_job: waiting, delayed, waiting_children -> failed
-- Fail a job that does not run; whoever deletes the row of its state has it.
SELECT c.job_id, c.parents FROM pgqueue.queue q
CROSS JOIN LATERAL pgqueue.cancel_waiting(q.id, ARRAY[%(job_id)s::bigint]) AS c
WHERE q.name = %(queue)s
