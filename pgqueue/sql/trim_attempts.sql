-- trim_attempts: attempt ->
-- Keep the newest failed runs of jobs that set a limit; sent only with their failures.
DELETE FROM pgqueue.attempt WHERE ctid = ANY(ARRAY(
    SELECT old.ctid
    FROM unnest(%(job_ids)s::bigint[], %(limits)s::bigint[]) AS t(job_id, most)
    CROSS JOIN LATERAL (
        SELECT a.ctid FROM pgqueue.attempt a
        WHERE a.queue_id = %(queue_id)s AND a.job_id = t.job_id
        ORDER BY a.finished_at DESC, a.attempt DESC OFFSET t.most
    ) AS old
))
