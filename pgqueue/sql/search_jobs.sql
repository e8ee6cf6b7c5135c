-- search_jobs: read
-- Ids of jobs that satisfy all of what is asked, the newest first, from a place on. It
-- walks over bodies, so it is bounded by time (bound_statement). An expected null means
-- that there is nothing, or null, at the path.
SELECT j.id FROM pgqueue.job j
WHERE j.queue_id = (SELECT q.id FROM pgqueue.queue q WHERE q.name = %(queue)s)
    AND j.id < %(before)s
    AND (%(name)s::text IS NULL OR j.name = %(name)s)
    AND (%(group)s::text IS NULL OR j."group" = %(group)s)
    AND NOT EXISTS (
        SELECT FROM unnest(%(paths)s::text[], %(expected)s::text[]) AS w(path, expected)
        WHERE (j.data #>> w.path::text[]) IS DISTINCT FROM w.expected)
    AND (cardinality(%(tags)s::text[]) = 0 OR %(tags)s::text[] <@ ARRAY(
        SELECT json_array_elements_text(CASE json_typeof(j.options -> 'tags')
            WHEN 'array' THEN j.options -> 'tags' END)))
    AND (%(state)s::text IS NULL OR %(state)s = coalesce(
        (SELECT f.state FROM pgqueue.finished f
            WHERE f.queue_id = j.queue_id AND f.job_id = j.id),
        (SELECT 'delayed' FROM pgqueue.delayed d
            WHERE d.queue_id = j.queue_id AND d.job_id = j.id),
        (SELECT 'waiting_children' FROM pgqueue.blocked b
            WHERE b.queue_id = j.queue_id AND b.job_id = j.id),
        (SELECT 'active' FROM pgqueue.lease l
            WHERE l.queue_id = j.queue_id AND j.id = ANY(l.job_ids) LIMIT 1),
        CASE WHEN j.priority > 0 THEN 'prioritized' ELSE 'waiting' END))
ORDER BY j.id DESC LIMIT %(limit)s
