-- remove_worker: worker ->
-- Sign off after the last outcome; with leases left the row stays and is recovered.
DELETE FROM pgqueue.worker w
WHERE w.id = %(worker_id)s
    AND NOT EXISTS (SELECT FROM pgqueue.lease l WHERE l.worker_id = w.id)
