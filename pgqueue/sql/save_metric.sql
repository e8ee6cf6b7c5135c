-- save_metric: -> metric
-- Add what one worker did in one queue since it last said so: a row for each worker and
-- minute, so that no row is shared.
INSERT INTO pgqueue.metric AS m
    (queue_id, minute, worker_id, completed, failed, latency, duration)
VALUES (%(queue_id)s, date_trunc('minute', clock_timestamp()), %(worker_id)s,
    %(completed)s, %(failed)s, %(latency)s::bigint[], %(duration)s::bigint[])
ON CONFLICT (queue_id, minute, worker_id) DO UPDATE
SET completed = m.completed + excluded.completed, failed = m.failed + excluded.failed,
    latency = ARRAY(
        SELECT u.a + u.b FROM unnest(m.latency, excluded.latency)
            WITH ORDINALITY AS u(a, b, n) ORDER BY u.n),
    duration = ARRAY(
        SELECT u.a + u.b FROM unnest(m.duration, excluded.duration)
            WITH ORDINALITY AS u(a, b, n) ORDER BY u.n)
