-- count_priorities: read
-- How many jobs of a queue wait with each of these priorities.
SELECT p.priority, (
    SELECT count(*) FROM pgqueue.ready r
    WHERE r.queue_id = q.id AND r.priority IN (p.priority, p.priority + 2097152))
FROM pgqueue.queue q CROSS JOIN unnest(%(priorities)s::integer[]) AS p(priority)
WHERE q.name = %(queue)s
