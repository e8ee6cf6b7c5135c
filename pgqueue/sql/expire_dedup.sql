-- expire_dedup: dedup ->
-- Delete a batch of deduplication ids whose ttl is over. They block no add any more; rows
-- that an add holds are skipped, it gives them another job.
DELETE FROM pgqueue.dedup WHERE ctid = ANY(ARRAY(
    SELECT d.ctid FROM pgqueue.dedup d
    WHERE d.queue_id = %(queue_id)s AND d.expires_at <= (SELECT clock_timestamp())
        AND d.next IS NULL
    ORDER BY d.expires_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
))
