-- list_logs: read
-- Lines of a job's log, the oldest first.
SELECT g.id, g.logged_at, g.line
FROM pgqueue.queue q
JOIN pgqueue.log g ON g.queue_id = q.id AND g.job_id = %(job_id)s AND g.id > %(after)s
WHERE q.name = %(queue)s
ORDER BY g.id OFFSET %(start)s LIMIT %(limit)s
