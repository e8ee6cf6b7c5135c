-- count_backlog: read
-- How many jobs wait to be processed: waiting, prioritized, delayed
-- and waiting for children.
SELECT (SELECT count(*) FROM pgqueue.ready r WHERE r.queue_id = q.id)
    + (SELECT count(*) FROM pgqueue.delayed d WHERE d.queue_id = q.id)
    + (SELECT count(*) FROM pgqueue.blocked b WHERE b.queue_id = q.id)
FROM pgqueue.queue q WHERE q.name = %(queue)s
