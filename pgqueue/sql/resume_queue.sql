-- resume_queue: settings
-- Let claims take jobs again, and wake who sleeps.
WITH resumed AS (
    UPDATE pgqueue.queue SET paused = false WHERE id = %(queue_id)s
    RETURNING id
)
SELECT pgqueue.ring(id) FROM resumed
