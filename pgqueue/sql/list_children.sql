-- list_children: read
-- A page of the children of a job, settled ones included while they still exist.
SELECT c.name, u.child_id
FROM pgqueue.queue q
CROSS JOIN LATERAL (
    SELECT d.queue_id, d.child_id FROM pgqueue.dependency d
    WHERE d.parent_queue_id = q.id AND d.parent_id = %(job_id)s
    UNION
    SELECT s.child_queue_id, s.child_id FROM pgqueue.settled s
    WHERE s.queue_id = q.id AND s.parent_id = %(job_id)s
) AS u(queue_id, child_id)
JOIN pgqueue.queue c ON c.id = u.queue_id
WHERE q.name = %(queue)s AND u.child_id > %(after)s
ORDER BY u.child_id LIMIT %(limit)s
