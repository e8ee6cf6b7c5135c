-- is_paused: read
-- No row: the queue was never used, so it is not paused.
SELECT q.paused FROM pgqueue.queue q WHERE q.name = %(queue)s
