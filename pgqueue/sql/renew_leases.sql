-- renew_leases: heartbeat
-- Extend all leases of a worker at once. No row: it was declared dead, its jobs may run
-- elsewhere, and it must stop.
UPDATE pgqueue.worker SET heartbeat_at = clock_timestamp()
WHERE id = %(worker_id)s AND dead_at IS NULL
RETURNING id
