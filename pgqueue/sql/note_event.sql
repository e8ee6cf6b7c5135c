-- note_event: -> event
-- Tell followers what happened to a queue as a whole; nothing is written without any.
INSERT INTO pgqueue.event (queue_id, name, data)
SELECT q.id, %(name)s, %(data)s::json
FROM pgqueue.queue q WHERE q.name = %(queue)s AND q.events
