-- form_line: settings
-- Put the groups in line that have got a job, and those whose rate or whose ended jobs
-- leave room again; all at its end, so that nobody who stands in it can be kept waiting.
-- Send it after lock_limits, before claim_grouped: only claims write the line. An arrival
-- commits with its job, so whoever takes it away sees the job too, and a group that
-- claim_grouped finds empty and drops comes back with the next arrival. One whose job
-- arrived before the place where its claims begin gets that place lowered.
WITH came AS MATERIALIZED (
    DELETE FROM pgqueue.arrival WHERE ctid = ANY(ARRAY(
        SELECT a.ctid FROM pgqueue.arrival a
        WHERE a.queue_id = %(queue_id)s ORDER BY a.id LIMIT 1000 FOR UPDATE SKIP LOCKED
    ))
    RETURNING id, "group", again,
        CASE WHEN seq IS NULL THEN '{0,-9223372036854775808}'::bigint[]
            ELSE ARRAY[priority, seq] END AS place
), joined AS (
    INSERT INTO pgqueue.line (turn, queue_id, "group")
    SELECT nextval('pgqueue.job_seq'), %(queue_id)s, c."group"
    FROM (
        SELECT a."group" FROM came a WHERE a."group" IS NOT NULL
        GROUP BY a."group" ORDER BY min(a.id)
    ) AS c
    WHERE (
        SELECT o.turn FROM pgqueue.line o
        WHERE o.queue_id = %(queue_id)s AND o."group" = c."group"
        ORDER BY o.turn DESC LIMIT 1
    ) IS NULL
), woken AS (
    (SELECT w.ctid AS place, true AS wakes, NULL::bigint[] AS low FROM pgqueue.line w
    WHERE w.queue_id = %(queue_id)s AND w.until <= (SELECT clock_timestamp())
    ORDER BY w.until, w.turn LIMIT 1000)
    UNION ALL
    -- As many as have jobs running, at most; those that are held get to know until when.
    (SELECT r.place, true, NULL FROM pgqueue.line_room r
    WHERE r.queue_id = %(queue_id)s AND r.until = 'infinity' AND (r.free > 0 OR r.held)
    ORDER BY r.turn LIMIT 1000)
    UNION ALL
    SELECT w.ctid, true, NULL FROM came c CROSS JOIN LATERAL (
        SELECT o.ctid, o.until FROM pgqueue.line o
        WHERE o.queue_id = %(queue_id)s AND o."group" = c."group"
        ORDER BY o.turn DESC LIMIT 1
    ) AS w
    WHERE c.again AND w.until IS NOT NULL
    UNION ALL
    SELECT w.ctid, true, NULL FROM pgqueue.line w
    WHERE w.queue_id = %(queue_id)s AND w.until IS NOT NULL
        AND (SELECT count(*) FROM came c WHERE c.again AND c."group" IS NULL) > 0
    UNION ALL
    SELECT w.ctid, false, c.place FROM (
        SELECT a."group", min(a.place) AS place FROM came a
        WHERE NOT a.again GROUP BY a."group"
    ) AS c CROSS JOIN LATERAL (
        SELECT o.ctid, o.low_priority, o.low_seq FROM pgqueue.line o
        WHERE o.queue_id = %(queue_id)s AND o."group" = c."group"
        ORDER BY o.turn DESC LIMIT 1
    ) AS w
    WHERE (w.low_priority, w.low_seq) > (c.place[1], c.place[2])
), changes AS MATERIALIZED (
    -- Both at once: a row that one statement changes twice keeps the first change only.
    SELECT w.place, bool_or(w.wakes) AS wakes, min(w.low) AS low FROM woken w
    GROUP BY w.place
)
UPDATE pgqueue.line l SET until = CASE WHEN NOT c.wakes THEN l.until END,
    turn = CASE WHEN c.wakes THEN nextval('pgqueue.job_seq') ELSE l.turn END,
    low_priority = coalesce(c.low[1], l.low_priority),
    low_seq = coalesce(c.low[2], l.low_seq)
FROM changes c
-- By place, each branch in the order of an index: what a plan made on an empty line would
-- join or filter instead, it would do to the whole line.
WHERE l.ctid = ANY(ARRAY(SELECT o.place FROM changes o)) AND l.ctid = c.place
