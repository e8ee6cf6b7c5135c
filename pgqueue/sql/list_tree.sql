-- list_tree: read
-- A job and its descendants that still exist, parents before their children: of each
-- job the first `limit` children, of the root those that follow `after`.
WITH RECURSIVE tree (level, parent_id, queue_id, job_id) AS (
    SELECT 0, NULL::bigint, q.id, %(job_id)s::bigint
    FROM pgqueue.queue q WHERE q.name = %(queue)s
    UNION ALL
    SELECT t.level + 1, t.job_id, c.queue_id, c.child_id
    FROM tree t
    CROSS JOIN LATERAL (
        SELECT u.queue_id, u.child_id
        FROM (
            SELECT d.queue_id, d.child_id FROM pgqueue.dependency d
            WHERE d.parent_queue_id = t.queue_id AND d.parent_id = t.job_id
            UNION
            SELECT s.child_queue_id, s.child_id FROM pgqueue.settled s
            WHERE s.queue_id = t.queue_id AND s.parent_id = t.job_id
        ) AS u
        WHERE u.child_id > CASE WHEN t.level = 0 THEN %(after)s ELSE 0 END AND EXISTS (
            SELECT FROM pgqueue.job j WHERE j.queue_id = u.queue_id AND j.id = u.child_id)
        ORDER BY u.child_id LIMIT %(limit)s
    ) AS c
    WHERE t.level < %(depth)s
)
SELECT t.parent_id, q.name, t.job_id
FROM tree t JOIN pgqueue.queue q ON q.id = t.queue_id
ORDER BY t.level, t.job_id
