-- form_line: settings
-- Put the groups in line that have got a job, and those whose rate or whose ended jobs
-- leave room again; all at its end, so that nobody who stands in it can be kept waiting.
-- Send it after lock_limits, before claim_grouped: only claims write the line. An arrival
-- commits with its job, so whoever takes it away sees the job too, and a group that
-- claim_grouped finds empty and drops comes back with the next arrival.
WITH came AS MATERIALIZED (
    DELETE FROM pgqueue.arrival WHERE ctid = ANY(ARRAY(
        SELECT a.ctid FROM pgqueue.arrival a
        WHERE a.queue_id = %(queue_id)s ORDER BY a.id LIMIT 1000 FOR UPDATE SKIP LOCKED
    ))
    RETURNING id, "group", again
), joined AS (
    INSERT INTO pgqueue.line (turn, queue_id, "group")
    SELECT nextval('pgqueue.job_seq'), %(queue_id)s, c."group"
    FROM (
        SELECT a."group" FROM came a WHERE a."group" IS NOT NULL
        GROUP BY a."group" ORDER BY min(a.id)
    ) AS c
    ON CONFLICT (queue_id, "group") DO NOTHING
)
UPDATE pgqueue.line l SET until = NULL, turn = nextval('pgqueue.job_seq')
-- By place, each branch in the order of an index: what a plan made on an empty line would
-- join or filter instead, it would do to the whole line.
WHERE l.ctid = ANY(ARRAY(
    (SELECT w.ctid FROM pgqueue.line w
    WHERE w.queue_id = %(queue_id)s AND w.until <= (SELECT clock_timestamp())
    ORDER BY w.until, w.turn LIMIT 1000)
    UNION ALL
    -- As many as have jobs running, at most; those that are held get to know until when.
    (SELECT r.place FROM pgqueue.line_room r
    WHERE r.queue_id = %(queue_id)s AND r.until = 'infinity' AND (r.free > 0 OR r.held)
    ORDER BY r.turn LIMIT 1000)
    UNION ALL
    SELECT w.ctid FROM came c CROSS JOIN LATERAL (
        SELECT o.ctid FROM pgqueue.line o
        WHERE o.queue_id = %(queue_id)s AND o."group" = c."group"
            AND o.until IS NOT NULL OFFSET 0
    ) AS w
    WHERE c.again
    UNION ALL
    SELECT w.ctid FROM pgqueue.line w
    WHERE w.queue_id = %(queue_id)s AND w.until IS NOT NULL
        AND (SELECT count(*) FROM came c WHERE c.again AND c."group" IS NULL) > 0
))
