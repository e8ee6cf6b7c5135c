-- find_released: read
-- Parents that wait for nothing any more, or for a child that took them along: left
-- behind if a worker died between settling a child and releasing its parent.
SELECT b.queue_id, b.job_id FROM pgqueue.blocked b
WHERE NOT EXISTS (
        SELECT FROM pgqueue.dependency d
        WHERE d.parent_queue_id = b.queue_id AND d.parent_id = b.job_id)
    OR EXISTS (
        SELECT FROM pgqueue.settled s
        WHERE s.queue_id = b.queue_id AND s.parent_id = b.job_id
            AND s.state = 'failed' AND s.policy IN ('fail', 'continue'))
LIMIT %(limit)s
