-- find_kept_back: read
-- Jobs that ended without their worker, while a later add was kept back for them: send
-- settle_dedup, which looks again under a lock.
SELECT d.job_id FROM pgqueue.dedup d
WHERE d.queue_id = %(queue_id)s AND d.next IS NOT NULL
    AND pgqueue.is_over(d.queue_id, d.job_id)
ORDER BY d.job_id LIMIT %(limit)s
