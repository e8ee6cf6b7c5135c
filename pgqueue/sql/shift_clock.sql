-- shift_clock: settings
-- Let time pass, for tests: every stored instant moves back by so many seconds, which
-- moves the clock of the queues forward against what they hold. All in one statement, so
-- in one transaction, which a test may roll back. A list of what it moves is held equal
-- to the schema by a test. Where an instant is a part of a key, rows are made anew, and
-- sorted, because that reads all that go before the first one comes.
WITH by AS MATERIALIZED (
    SELECT %(seconds)s::double precision * interval '1 second' AS time
), queue_moved AS (
    UPDATE pgqueue.queue SET created_at = created_at - by.time,
        limited_until = limited_until - by.time FROM by
), job_moved AS (
    UPDATE pgqueue.job SET created_at = created_at - by.time,
        options = CASE WHEN json_typeof(options->'expires') = 'string'
            THEN (options::jsonb || jsonb_build_object('expires',
                (options->>'expires')::timestamptz - by.time))::json
            ELSE options END FROM by
), delayed_moved AS (
    UPDATE pgqueue.delayed SET run_at = run_at - by.time FROM by
), blocked_moved AS (
    UPDATE pgqueue.blocked SET run_at = run_at - by.time FROM by
), lease_moved AS (
    UPDATE pgqueue.lease SET claimed_at = claimed_at - by.time FROM by
), finished_moved AS (
    UPDATE pgqueue.finished SET started_at = started_at - by.time,
        finished_at = finished_at - by.time, expires_at = expires_at - by.time FROM by
), attempt_moved AS (
    UPDATE pgqueue.attempt SET started_at = started_at - by.time,
        finished_at = finished_at - by.time FROM by
), progress_moved AS (
    UPDATE pgqueue.progress SET updated_at = updated_at - by.time FROM by
), worker_moved AS (
    UPDATE pgqueue.worker SET started_at = started_at - by.time,
        heartbeat_at = heartbeat_at - by.time, dead_at = dead_at - by.time FROM by
), dedup_moved AS (
    UPDATE pgqueue.dedup SET expires_at = expires_at - by.time FROM by
), log_moved AS (
    UPDATE pgqueue.log SET logged_at = logged_at - by.time FROM by
), event_moved AS (
    UPDATE pgqueue.event SET at = at - by.time FROM by
), subscriber_moved AS (
    UPDATE pgqueue.subscriber SET seen_at = seen_at - by.time FROM by
), schedule_moved AS (
    UPDATE pgqueue.schedule SET next_at = next_at - by.time,
        last_at = last_at - by.time FROM by
), rate_gone AS (
    DELETE FROM pgqueue.rate RETURNING *
), rate_moved AS (
    INSERT INTO pgqueue.rate (queue_id, claimed_at, count)
    SELECT r.queue_id, r.claimed_at - by.time, r.count FROM rate_gone r, by ORDER BY 1, 2
), line_moved AS (
    UPDATE pgqueue.line SET until = until - by.time FROM by
), group_limit_moved AS (
    UPDATE pgqueue.group_limit SET limited_until = limited_until - by.time FROM by
), group_rate_gone AS (
    DELETE FROM pgqueue.group_rate RETURNING *
), group_rate_moved AS (
    INSERT INTO pgqueue.group_rate (queue_id, "group", claimed_at, passed_at, count)
    SELECT g.queue_id, g."group", g.claimed_at - by.time, g.passed_at - by.time, g.count
    FROM group_rate_gone g, by ORDER BY 1, 2, 3
), metric_gone AS (
    DELETE FROM pgqueue.metric RETURNING *
), metric_moved AS (
    INSERT INTO pgqueue.metric
        (queue_id, minute, worker_id, completed, failed, latency, duration)
    SELECT m.queue_id, m.minute - by.time, m.worker_id, m.completed, m.failed, m.latency,
        m.duration
    FROM metric_gone m, by ORDER BY 1, 2, 3
)
SELECT q.id, pgqueue.ring(q.id) FROM pgqueue.queue q
