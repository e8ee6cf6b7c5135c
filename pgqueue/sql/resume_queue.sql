-- resume_queue: settings
-- Let claims take jobs again, and wake who sleeps.
WITH resumed AS (
    UPDATE pgqueue.queue SET paused = false WHERE id = %(queue_id)s AND paused
    RETURNING id, events
), noted AS (
    INSERT INTO pgqueue.event (queue_id, name)
    SELECT r.id, 'resumed' FROM resumed r WHERE r.events
)
SELECT pgqueue.ring(r.id), pg_notify('pgqueue.doorbell', 'pause ' || r.id) FROM resumed r
