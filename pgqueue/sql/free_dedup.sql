-- free_dedup: dedup ->
-- Let go of a deduplication id before its job has ended; return whether a job held it, and
-- what was kept back for it: send that to add_jobs in the same transaction, or it is lost.
-- An add or the finish of the job that holds the row is waited for, and seen.
DELETE FROM pgqueue.dedup d
WHERE d.queue_id = (SELECT q.id FROM pgqueue.queue q WHERE q.name = %(queue)s)
    AND d.dedup_id = %(dedup_id)s
RETURNING CASE
    WHEN d.expires_at IS NULL THEN NOT pgqueue.is_over(d.queue_id, d.job_id)
    ELSE d.expires_at > clock_timestamp() END, d.next::text
