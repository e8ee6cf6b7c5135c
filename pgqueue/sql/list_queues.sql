-- list_queues: read
-- Every queue that was ever used, by name.
SELECT q.name, q.paused FROM pgqueue.queue q ORDER BY q.name
