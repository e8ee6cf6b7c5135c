-- list_offspring: read
-- The children of some jobs of a queue, settled ones included, to remove with them.
SELECT u.parent_id, c.name, u.child_id
FROM pgqueue.queue q
CROSS JOIN LATERAL (
    SELECT d.parent_id, d.queue_id, d.child_id FROM pgqueue.dependency d
    WHERE d.parent_queue_id = q.id AND d.parent_id = ANY(%(job_ids)s)
    UNION
    SELECT s.parent_id, s.child_queue_id, s.child_id FROM pgqueue.settled s
    WHERE s.queue_id = q.id AND s.parent_id = ANY(%(job_ids)s)
) AS u
JOIN pgqueue.queue c ON c.id = u.queue_id
WHERE q.name = %(queue)s
ORDER BY u.child_id
