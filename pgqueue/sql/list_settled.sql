-- list_settled: read
-- What the children of a job left for it, in the order in which they were added.
SELECT s.child_id, s.result::text, s.error FROM pgqueue.settled s
WHERE s.queue_id = %(queue_id)s AND s.parent_id = %(job_id)s AND s.state = %(state)s
ORDER BY s.child_id
