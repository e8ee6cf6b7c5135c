-- hold_queue: settings
-- Let nobody else change a queue's settings before this transaction ends; the statements
-- after it see what whoever held it before has written.
SELECT q.id FROM pgqueue.queue q WHERE q.id = %(queue_id)s FOR NO KEY UPDATE
