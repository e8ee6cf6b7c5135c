-- pause_queue: settings
-- From the commit on no claim of the queue takes a job; what is active goes on.
UPDATE pgqueue.queue SET paused = true WHERE id = %(queue_id)s
