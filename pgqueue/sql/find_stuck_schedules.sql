-- find_stuck_schedules: read
-- Schedules whose pending job was removed, or ended without a word from its worker; as
-- read_schedules says it, and whether the job began.
SELECT s.queue_id, s.key, s.job_id, s.next_at, s.iteration, s.behind, s.rule::text,
    f.job_id IS NOT NULL, clock_timestamp()
FROM pgqueue.schedule s
LEFT JOIN LATERAL (
    SELECT b.id FROM pgqueue.job b WHERE b.queue_id = s.queue_id AND b.id = s.job_id OFFSET 0
) AS j ON true
LEFT JOIN LATERAL (
    SELECT d.job_id FROM pgqueue.finished d
    WHERE d.queue_id = s.queue_id AND d.job_id = s.job_id OFFSET 0
) AS f ON true
WHERE s.queue_id = ANY(%(queue_ids)s) AND s.job_id IS NOT NULL
    AND (j.id IS NULL OR f.job_id IS NOT NULL)
LIMIT %(limit)s
