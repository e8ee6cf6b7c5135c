-- settle_cancelled: waiting, delayed, waiting_children -> failed
-- What was to be cancelled while it ran, and was put back instead, is cancelled here.
SELECT w.job_id, w.parents FROM pgqueue.cancel_waiting(%(queue_id)s, ARRAY(
    SELECT c.job_id FROM pgqueue.cancelled c WHERE c.queue_id = %(queue_id)s
)) AS w
