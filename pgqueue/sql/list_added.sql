-- list_added: read
-- The jobs of one queue, or of all, in the order in which they were added; for tests.
SELECT q.name, j.id
FROM pgqueue.job j JOIN pgqueue.queue q ON q.id = j.queue_id
WHERE (%(queue)s::text IS NULL OR q.name = %(queue)s)
    AND (%(name)s::text IS NULL OR j.name = %(name)s)
ORDER BY j.id LIMIT %(limit)s
