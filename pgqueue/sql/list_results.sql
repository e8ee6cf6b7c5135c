-- list_results: read
-- What the completed children of a job left for it, each with its queue and its key.
SELECT c.name, s.child_id, j.key, s.result::text
FROM pgqueue.queue q
JOIN pgqueue.settled s ON s.queue_id = q.id AND s.parent_id = %(job_id)s
JOIN pgqueue.queue c ON c.id = s.child_queue_id
LEFT JOIN LATERAL (
    SELECT b.key FROM pgqueue.job b
    WHERE b.queue_id = s.child_queue_id AND b.id = s.child_id OFFSET 0
) AS j ON true
WHERE q.name = %(queue)s AND s.state = 'completed'
ORDER BY s.child_id
