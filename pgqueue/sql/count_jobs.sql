-- count_jobs: read
-- How many jobs of a queue stand where, in one snapshot; states that are not asked for
-- cost nothing and are 0. Each is a walk over one index, or over narrow rows that are all
-- of this queue; no body is read.
SELECT
    CASE WHEN 'waiting' = ANY(%(states)s::text[]) THEN (
        SELECT count(*) FROM pgqueue.ready r
        WHERE r.queue_id = q.id AND r.priority IN (0, 2097152)) ELSE 0 END,
    CASE WHEN 'prioritized' = ANY(%(states)s::text[]) THEN (
        SELECT count(*) FROM pgqueue.ready r
        WHERE r.queue_id = q.id AND r.priority > 0 AND r.priority <> 2097152) ELSE 0 END,
    CASE WHEN 'delayed' = ANY(%(states)s::text[]) THEN (
        SELECT count(*) FROM pgqueue.delayed d WHERE d.queue_id = q.id) ELSE 0 END,
    CASE WHEN 'active' = ANY(%(states)s::text[]) THEN (
        SELECT coalesce(sum(cardinality(l.job_ids)), 0)::bigint FROM pgqueue.lease l
        WHERE l.queue_id = q.id) ELSE 0 END,
    CASE WHEN 'waiting_children' = ANY(%(states)s::text[]) THEN (
        SELECT count(*) FROM pgqueue.blocked b WHERE b.queue_id = q.id) ELSE 0 END,
    CASE WHEN 'completed' = ANY(%(states)s::text[]) THEN (
        SELECT count(*) FROM pgqueue.finished f
        WHERE f.queue_id = q.id AND f.state = 'completed') ELSE 0 END,
    CASE WHEN 'failed' = ANY(%(states)s::text[]) THEN (
        SELECT count(*) FROM pgqueue.finished f
        WHERE f.queue_id = q.id AND f.state = 'failed') ELSE 0 END
FROM pgqueue.queue q WHERE q.name = %(queue)s
