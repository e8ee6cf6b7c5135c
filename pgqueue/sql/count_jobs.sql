-- count_jobs: read
-- How many jobs of a queue stand where, in one snapshot.
SELECT
    (SELECT count(*) FROM pgqueue.ready r WHERE r.queue_id = q.id AND r.priority = 0),
    (SELECT count(*) FROM pgqueue.ready r WHERE r.queue_id = q.id AND r.priority > 0),
    (SELECT count(*) FROM pgqueue.delayed d WHERE d.queue_id = q.id),
    (SELECT coalesce(sum(cardinality(l.job_ids)), 0)::bigint FROM pgqueue.lease l
        WHERE l.queue_id = q.id),
    (SELECT count(*) FROM pgqueue.blocked b WHERE b.queue_id = q.id),
    (SELECT count(*) FROM pgqueue.finished f
        WHERE f.queue_id = q.id AND f.state = 'completed'),
    (SELECT count(*) FROM pgqueue.finished f
        WHERE f.queue_id = q.id AND f.state = 'failed')
FROM pgqueue.queue q WHERE q.name = %(queue)s
