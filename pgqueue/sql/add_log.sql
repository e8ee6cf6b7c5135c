-- add_log: log
-- Add a line to the log of a job in whatever state; keep the newest lines. Options may
-- have been written from SQL, so nonsense in them must not raise.
WITH body AS MATERIALIZED (
    SELECT b.queue_id, b.id, CASE WHEN b.options ->> 'keep_logs' ~ '^\d{1,15}$'
        THEN (b.options ->> 'keep_logs')::bigint END AS keep
    FROM pgqueue.queue q
    JOIN pgqueue.job b ON b.queue_id = q.id AND b.id = %(job_id)s
    WHERE q.name = %(queue)s FOR KEY SHARE OF b
), trimmed AS (
    DELETE FROM pgqueue.log g USING body b
    WHERE g.queue_id = b.queue_id AND g.job_id = b.id AND b.keep IS NOT NULL
        AND g.id <= (
            SELECT k.id FROM pgqueue.log k
            WHERE k.queue_id = b.queue_id AND k.job_id = b.id
            ORDER BY k.id DESC OFFSET greatest(b.keep - 1, 0) LIMIT 1)
), added AS (
    INSERT INTO pgqueue.log (job_id, logged_at, queue_id, line)
    SELECT b.id, clock_timestamp(), b.queue_id, %(line)s FROM body b
    WHERE b.keep IS DISTINCT FROM 0
)
SELECT b.id FROM body b
