-- claim_jobs: waiting -> active
-- Lease the most urgent jobs of one queue to one worker; rows others hold are skipped.
-- The stretches of the index to look at come from the worker's seek hints, best first:
-- dead entries before a stretch cost nothing, whatever snapshot keeps them. A stretch
-- lies within one priority or ends before one: `(priority, seq) < (…)` would do for
-- both, but before PostgreSQL 18 it does not end a scan within a priority. Rows are
-- locked one by one as the outer LIMIT takes them, and never updated, so a ctid holds.
-- A worker that was declared dead and does not know it yet gets nothing; nor does one
-- that takes a limited queue for an unlimited one: next_due says what it is.
-- Crash before commit: nothing happened. Crash after: the lease ends, recover_jobs.
WITH taken AS MATERIALIZED (
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
        WHERE EXISTS (
            SELECT FROM pgqueue.queue q WHERE q.id = %(queue_id)s AND NOT q.paused
                AND q.concurrency IS NULL AND q.rate_max IS NULL
                AND (q.limited_until IS NULL OR q.limited_until <= clock_timestamp())
        ) AND NOT EXISTS (
            SELECT FROM pgqueue.worker w
            WHERE w.id = %(worker_id)s AND w.dead_at IS NOT NULL
        )
        LIMIT %(limit)s
    ))
    RETURNING job_id, priority, seq, attempt + 1 AS attempt, stalled
), leased AS (
    INSERT INTO pgqueue.lease
        (id, worker_id, claimed_at, queue_id, job_ids, attempts, stalls)
    SELECT nextval('pgqueue.lease_seq'), %(worker_id)s, clock_timestamp(),
        %(queue_id)s, array_agg(t.job_id), array_agg(t.attempt), array_agg(t.stalled)
    FROM taken t HAVING count(*) > 0
    RETURNING id, claimed_at
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
