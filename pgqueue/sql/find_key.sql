-- find_key: read
-- The job of a queue with a key; the compatibility module calls jobs by it.
SELECT j.id FROM pgqueue.queue q
JOIN pgqueue.job j ON j.queue_id = q.id AND j.key = %(key)s
WHERE q.name = %(queue)s
