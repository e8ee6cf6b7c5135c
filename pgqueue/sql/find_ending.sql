-- find_ending: read
-- How a job ended that is not there any more, from what followers are told; the event was
-- written with its removal, so whoever misses the job sees it.
SELECT e.name, e.data::text FROM pgqueue.event e
WHERE e.queue_id = %(queue_id)s AND (e.xid, e.id) > (%(xid)s, %(event_id)s)
    AND e.job_id = %(job_id)s AND e.name IN ('completed', 'failed', 'removed')
ORDER BY e.xid DESC, e.id DESC LIMIT 1
