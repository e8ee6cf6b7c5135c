-- pause_queue: settings
-- From the commit on no claim of the queue takes a job; what is active goes on. The ring
-- is for the listeners of workers only.
WITH paused AS (
    UPDATE pgqueue.queue SET paused = true WHERE id = %(queue_id)s AND NOT paused
    RETURNING id, events
), noted AS (
    INSERT INTO pgqueue.event (queue_id, name)
    SELECT p.id, 'paused' FROM paused p WHERE p.events
)
SELECT pg_notify('pgqueue.doorbell', 'pause ' || p.id) FROM paused p
