-- list_leases: read
-- What a worker holds, in the shape of claim_jobs: after a claim whose answer was lost.
SELECT l.id, a.job_id, b.priority, b.id, a.attempt, a.stalled, b.attempts, b.name,
    b.data::text, b.options::text, date_part('epoch', b.created_at),
    date_part('epoch', l.claimed_at), b.parent_id IS NOT NULL, l."group", l.queue_id
FROM pgqueue.lease l
CROSS JOIN LATERAL unnest(l.job_ids, l.attempts, l.stalls) AS a(job_id, attempt, stalled)
CROSS JOIN LATERAL (
    SELECT b.id, b.priority, b.attempts, b.name, b.data, b.options, b.created_at,
        b.parent_id
    FROM pgqueue.job b WHERE b.queue_id = l.queue_id AND b.id = a.job_id LIMIT 1) AS b
WHERE l.queue_id = ANY(%(queue_ids)s) AND l.worker_id = %(worker_id)s
ORDER BY l.id, a.job_id
