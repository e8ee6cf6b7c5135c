-- claim_grouped: waiting -> active
-- What claim_limited does, for a queue with groups: first jobs of no group, then a job of
-- each group in line, the next one first, and round again while there is room. Send it
-- after lock_limits and form_line: with the lock held it alone writes the line, and counts
-- what other claims have taken. A group goes to the end of the line when it was served;
-- out of it when it has no more jobs, is paused, or may start nothing. That its jobs are
-- gone is told by what this snapshot shows, locked or not: a removal may roll back.
-- Crash before commit: nothing happened. Crash after: the lease ends, recover_jobs.
WITH room AS MATERIALIZED (
    SELECT least(%(limit)s, r.free) AS free FROM pgqueue.room(%(queue_id)s) AS r
    WHERE NOT EXISTS (
        SELECT FROM pgqueue.worker w WHERE w.id = %(worker_id)s AND w.dead_at IS NOT NULL)
), plain AS MATERIALIZED (
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
        LIMIT (SELECT coalesce(max(room.free), 0) FROM room)
    ))
    RETURNING job_id, priority, seq, attempt + 1 AS attempt, stalled
), rest AS MATERIALIZED (
    SELECT coalesce(max(r.free), 0) - (SELECT count(*) FROM plain) AS free FROM room r
), visited AS MATERIALIZED (
    SELECT v.* FROM pgqueue.line_room v
    WHERE v.queue_id = %(queue_id)s AND v.until IS NULL AND v.turn >= %(from_turn)s
    ORDER BY v.turn LIMIT (SELECT rest.free FROM rest)
), share AS MATERIALIZED (
    SELECT ceil(r.free::numeric / greatest(1, (SELECT count(*) FROM visited))) AS jobs
    FROM rest r
), picked AS MATERIALIZED (
    SELECT p.ctid AS place, p."group", p.turn, p.round FROM (
        SELECT j.ctid, v."group", v.turn,
            row_number() OVER (PARTITION BY v.turn ORDER BY j.priority, j.seq) AS round
        FROM visited v CROSS JOIN LATERAL (
            SELECT r.ctid, r.priority, r.seq FROM pgqueue.ready r
            WHERE r.queue_id = %(queue_id)s AND r."group" = v."group"
                AND (r.priority, r.seq) >= (v.low_priority, v.low_seq)
            ORDER BY r.priority, r.seq
            LIMIT (SELECT least(v.free, s.jobs)::bigint FROM share s)
            FOR UPDATE SKIP LOCKED
        ) AS j
    ) AS p
    ORDER BY p.round, p.turn LIMIT (SELECT rest.free FROM rest)
), grouped AS MATERIALIZED (
    DELETE FROM pgqueue.ready WHERE ctid = ANY(ARRAY(SELECT p.place FROM picked p))
    RETURNING job_id, priority & 2097151 AS priority, seq, attempt + 1 AS attempt,
        stalled, "group"
), served AS MATERIALIZED (
    SELECT v.*, coalesce(p.jobs, 0) AS jobs, coalesce((
        -- Behind what was taken first: an old snapshot keeps dead entries before it.
        SELECT true FROM pgqueue.ready r
        WHERE NOT v.paused AND r.queue_id = %(queue_id)s AND r."group" = v."group"
            AND (r.priority, r.seq) > (p.place[1] + 2097152, p.place[2])
        ORDER BY r.priority, r.seq LIMIT 1
    ), (
        SELECT true FROM pgqueue.ready r
        WHERE NOT v.paused AND r.queue_id = %(queue_id)s AND r."group" = v."group"
        ORDER BY r.priority, r.seq OFFSET coalesce(p.jobs, 0) LIMIT 1
    ), false) AS more, CASE
        -- What should have been there was not: begin at the head the next time.
        WHEN p.jobs IS NULL THEN '{0,-9223372036854775808}'::bigint[]
        -- If nothing before the last one was left, somebody's who may put it back.
        WHEN p.jobs = (
            SELECT count(*) FROM pgqueue.ready r
            WHERE r.queue_id = %(queue_id)s AND r."group" = v."group"
                AND (r.priority, r.seq) >= (v.low_priority, v.low_seq)
                AND (r.priority, r.seq) <= (p.place[1] + 2097152, p.place[2])
        ) THEN ARRAY[p.place[1] + 2097152, p.place[2] + 1]
        ELSE ARRAY[v.low_priority, v.low_seq] END AS low
    FROM visited v LEFT JOIN (
        SELECT g."group", count(*) AS jobs, max(ARRAY[g.priority, g.seq]) AS place
        FROM grouped g GROUP BY g."group"
    ) AS p ON p."group" = v."group"
), gone AS (
    DELETE FROM pgqueue.line l
    WHERE l.ctid = ANY(ARRAY(SELECT s.place FROM served s WHERE NOT s.more))
), moved AS (
    UPDATE pgqueue.line l SET turn = s.next, low_priority = s.low[1], low_seq = s.low[2],
        until = CASE
        WHEN s.starts <= s.jobs THEN s.frees + s.grain * interval '1 second'
        WHEN s.free <= s.jobs THEN 'infinity'
        -- Somebody holds its jobs, to remove or to change them.
        WHEN s.jobs = 0 THEN clock_timestamp() + interval '0.1 second' END
    FROM (
        SELECT m.*, nextval('pgqueue.job_seq') AS next
        FROM (SELECT * FROM served WHERE more ORDER BY turn) AS m
    ) AS s
    WHERE l.ctid = s.place
), taken AS MATERIALIZED (
    SELECT p.*, NULL::text AS "group" FROM plain p UNION ALL SELECT * FROM grouped
), leased AS (
    INSERT INTO pgqueue.lease
        (id, worker_id, claimed_at, queue_id, job_ids, attempts, stalls, "group")
    SELECT nextval('pgqueue.lease_seq'), %(worker_id)s, clock_timestamp(), %(queue_id)s,
        array_agg(t.job_id), array_agg(t.attempt), array_agg(t.stalled), t."group"
    FROM taken t GROUP BY t."group"
    RETURNING id, claimed_at, coalesce("group", '') AS "group"
), rated AS (
    -- Rounded up to a grain: a later start is a safe one, and rows stay few.
    INSERT INTO pgqueue.rate AS r (queue_id, claimed_at, count)
    SELECT q.id, to_timestamp(ceil(date_part('epoch', n.instant) / g.grain) * g.grain),
        n.jobs
    FROM (SELECT max(l.claimed_at) AS instant, (SELECT count(*) FROM taken) AS jobs
        FROM leased l HAVING count(*) > 0) AS n
    JOIN pgqueue.queue q ON q.id = %(queue_id)s AND q.rate_max IS NOT NULL
    CROSS JOIN LATERAL (SELECT least(q.rate_window / 200, 1.0) AS grain) AS g
    ON CONFLICT (queue_id, claimed_at) DO UPDATE SET count = r.count + excluded.count
), group_rated AS (
    INSERT INTO pgqueue.group_rate AS r (queue_id, "group", claimed_at, passed_at, count)
    SELECT %(queue_id)s, s."group", i.instant, i.instant + s.lasts, s.jobs
    FROM served s JOIN leased l ON l."group" = s."group"
    CROSS JOIN LATERAL (SELECT to_timestamp(
        ceil(date_part('epoch', l.claimed_at) / s.grain) * s.grain) AS instant) AS i
    WHERE s.rate_max IS NOT NULL AND s.jobs > 0
    ON CONFLICT (queue_id, "group", claimed_at) DO UPDATE
        SET count = r.count + excluded.count
), passed AS (
    DELETE FROM pgqueue.rate r USING pgqueue.queue q
    WHERE r.queue_id = %(queue_id)s AND q.id = %(queue_id)s
        AND r.claimed_at < clock_timestamp() - (q.rate_window + 1) * interval '1 second'
), noted AS (
    INSERT INTO pgqueue.event (queue_id, job_id, name, data)
    SELECT %(queue_id)s, t.job_id, 'active', json_build_object('attempt', t.attempt)
    FROM taken t
    WHERE EXISTS (SELECT FROM pgqueue.queue q WHERE q.id = %(queue_id)s AND q.events)
)
SELECT l.id, t.job_id, t.priority, t.seq, t.attempt, t.stalled, j.attempts, j.name,
    j.data::text, j.options::text, date_part('epoch', j.created_at),
    date_part('epoch', l.claimed_at), j.parent_id IS NOT NULL, t."group",
    (SELECT min(v.turn) FROM visited v)
FROM taken t JOIN leased l ON l."group" = coalesce(t."group", '')
-- OFFSET 0 keeps it a look-up for each job: a join might be a walk over the whole index.
CROSS JOIN LATERAL (
    SELECT b.* FROM pgqueue.job b
    WHERE b.queue_id = %(queue_id)s AND b.id = t.job_id OFFSET 0
) AS j
LEFT JOIN LATERAL (
    SELECT v.turn FROM visited v WHERE v."group" = t."group"
) AS v ON true
ORDER BY t."group" IS NOT NULL,
    row_number() OVER (PARTITION BY t."group" ORDER BY t.priority, t.seq), v.turn
