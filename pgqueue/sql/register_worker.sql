-- register_worker: -> worker
-- Announce one start of one worker, before its first claim; twice does no harm.
INSERT INTO pgqueue.worker (id, started_at, heartbeat_at, lease, pid, concurrency,
    host, name, queues)
VALUES (%(worker_id)s, clock_timestamp(), clock_timestamp(), %(lease)s, %(pid)s,
    %(concurrency)s, %(host)s, %(name)s, %(queues)s)
ON CONFLICT (id) DO NOTHING
