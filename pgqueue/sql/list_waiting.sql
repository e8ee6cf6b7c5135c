-- list_waiting: read
-- A page of the waiting jobs in the order in which they will be claimed. `OFFSET 0`
-- makes the planner look the bodies up one by one, however many it thinks there are.
SELECT b.id, b.name, b.data::text, 'waiting', b.created_at, r.priority & 2097151, r.attempt,
    b.attempts, r.stalled, NULL, NULL, NULL, p.value::text, NULL, NULL, b.key, NULL,
    b.options::text, b.parent_id, b."group", r.priority, r.seq
FROM (
    SELECT w.* FROM pgqueue.ready w
    WHERE w.queue_id = (SELECT q.id FROM pgqueue.queue q WHERE q.name = %(queue)s)
        AND w.priority >= %(low)s AND w.priority <= (
            -- Those of groups stand above; without groups there is nothing to pass.
            SELECT %(high)s + CASE WHEN q.grouped THEN 2097152 ELSE 0 END
            FROM pgqueue.queue q WHERE q.name = %(queue)s)
        AND w.priority & 2097151 BETWEEN %(low)s AND %(high)s
        AND (w.priority, w.seq) > (%(key)s::integer, %(id)s::bigint)
    ORDER BY w.priority, w.seq LIMIT %(limit)s OFFSET %(offset)s
) AS r
CROSS JOIN LATERAL (
    SELECT j.* FROM pgqueue.job j
    WHERE j.queue_id = r.queue_id AND j.id = r.job_id OFFSET 0
) AS b
LEFT JOIN LATERAL (
    SELECT n.value FROM pgqueue.progress n
    WHERE n.queue_id = r.queue_id AND n.job_id = r.job_id OFFSET 0
) AS p ON true
ORDER BY r.priority, r.seq
