-- find_dedup: read
-- The job that holds a deduplication id now, by the rule of add_jobs: until a ttl is over,
-- or without one until the job has ended.
SELECT d.job_id FROM pgqueue.queue q
JOIN pgqueue.dedup d ON d.queue_id = q.id AND d.dedup_id = %(dedup_id)s
WHERE q.name = %(queue)s AND CASE
    WHEN d.expires_at IS NULL THEN NOT pgqueue.is_over(d.queue_id, d.job_id)
    ELSE d.expires_at > clock_timestamp() END
