-- find_released: read
-- A page of the parents that wait, and whether they do for nothing: left behind if a
-- worker died between settling a child and releasing its parent, or if the last children
-- were removed at the same moment in transactions of their callers.
WITH page AS MATERIALIZED (
    SELECT b.queue_id, b.job_id FROM pgqueue.blocked b
    WHERE (b.queue_id, b.job_id) > (%(queue_id)s, %(job_id)s)
    ORDER BY b.queue_id, b.job_id LIMIT %(limit)s
)
SELECT p.queue_id, p.job_id, r.job_id IS NOT NULL
FROM page p
LEFT JOIN LATERAL (
    SELECT v.job_id FROM pgqueue.releasable v
    WHERE v.queue_id = p.queue_id AND v.job_id = p.job_id OFFSET 0
) AS r ON true
ORDER BY p.queue_id, p.job_id
