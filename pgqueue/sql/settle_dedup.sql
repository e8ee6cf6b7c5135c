-- settle_dedup: -> waiting, delayed
-- The jobs have ended: free their deduplication ids, or add what was kept back. An add
-- that still saw one of them active holds the row, and is waited for.
SELECT pgqueue.settle_dedup(%(queue_id)s, %(job_ids)s)
