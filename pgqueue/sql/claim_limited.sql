-- claim_limited: waiting -> active
-- What claim_jobs does, for a queue with a limit: no more than it has room for. Send it
-- after lock_limits in the same transaction: its snapshot is taken with the lock held,
-- so it sees what every other limited claim of the queue has taken, and no two count the
-- same free slot. Without a prefetch: a job that is leased counts as running.
-- Crash before commit: nothing happened. Crash after: the lease ends, recover_jobs, and
-- its slot is free; the rate keeps the start, which may have happened.
WITH room AS MATERIALIZED (
    SELECT least(%(limit)s, r.free) AS free FROM pgqueue.room(%(queue_id)s) AS r
), taken AS MATERIALIZED (
    DELETE FROM pgqueue.ready WHERE ctid = ANY(ARRAY(
        SELECT next.ctid
        FROM unnest(
            %(from_priority)s::integer[], %(from_seq)s::bigint[],
            %(to_priority)s::integer[], %(to_seq)s::bigint[]
        ) AS stretch(from_priority, from_seq, to_priority, to_seq)
        CROSS JOIN LATERAL (
            SELECT one.ctid FROM (
                SELECT r.ctid FROM pgqueue.ready r
                WHERE r.queue_id = %(queue_id)s AND r.priority = stretch.from_priority
                    AND stretch.to_priority = stretch.from_priority
                    AND r.seq >= stretch.from_seq AND r.seq < stretch.to_seq
                ORDER BY r.seq LIMIT %(limit)s FOR UPDATE SKIP LOCKED
            ) AS one
            UNION ALL
            SELECT many.ctid FROM (
                SELECT r.ctid FROM pgqueue.ready r
                WHERE r.queue_id = %(queue_id)s AND r.priority < stretch.to_priority
                    AND stretch.to_priority > stretch.from_priority
                    AND (r.priority, r.seq) >= (stretch.from_priority, stretch.from_seq)
                ORDER BY r.priority, r.seq LIMIT %(limit)s FOR UPDATE SKIP LOCKED
            ) AS many
        ) AS next
        WHERE NOT EXISTS (
            SELECT FROM pgqueue.worker w
            WHERE w.id = %(worker_id)s AND w.dead_at IS NOT NULL
        )
        LIMIT (SELECT room.free FROM room)
    ))
    RETURNING job_id, priority, seq, attempt + 1 AS attempt, stalled
), leased AS (
    INSERT INTO pgqueue.lease
        (id, worker_id, claimed_at, queue_id, job_ids, attempts, stalls)
    SELECT nextval('pgqueue.lease_seq'), %(worker_id)s, clock_timestamp(),
        %(queue_id)s, array_agg(t.job_id), array_agg(t.attempt), array_agg(t.stalled)
    FROM taken t HAVING count(*) > 0
    RETURNING id, claimed_at
), rated AS (
    -- Rounded up to a grain: a later start is a safe one, and rows stay few.
    INSERT INTO pgqueue.rate AS r (queue_id, claimed_at, count)
    SELECT q.id, to_timestamp(ceil(date_part('epoch', l.claimed_at) / g.grain) * g.grain),
        (SELECT count(*) FROM taken)
    FROM leased l JOIN pgqueue.queue q ON q.id = %(queue_id)s AND q.rate_max IS NOT NULL
    CROSS JOIN LATERAL (SELECT least(q.rate_window / 200, 1.0) AS grain) AS g
    ON CONFLICT (queue_id, claimed_at) DO UPDATE SET count = r.count + excluded.count
), passed AS (
    DELETE FROM pgqueue.rate r USING pgqueue.queue q, leased l
    WHERE r.queue_id = %(queue_id)s AND q.id = %(queue_id)s
        AND r.claimed_at < l.claimed_at - (q.rate_window + 1) * interval '1 second'
), noted AS (
    INSERT INTO pgqueue.event (queue_id, job_id, name, data)
    SELECT %(queue_id)s, t.job_id, 'active', json_build_object('attempt', t.attempt)
    FROM taken t
    WHERE EXISTS (SELECT FROM pgqueue.queue q WHERE q.id = %(queue_id)s AND q.events)
)
SELECT l.id, t.job_id, t.priority, t.seq, t.attempt, t.stalled, j.attempts, j.name,
    j.data::text, j.options::text, date_part('epoch', j.created_at),
    date_part('epoch', l.claimed_at), j.parent_id IS NOT NULL
FROM leased l CROSS JOIN taken t
-- OFFSET 0 keeps it a look-up for each job: a join might be a walk over the whole index.
CROSS JOIN LATERAL (
    SELECT b.* FROM pgqueue.job b
    WHERE b.queue_id = %(queue_id)s AND b.id = t.job_id OFFSET 0
) AS j
ORDER BY t.priority, t.seq
