-- bury_workers: worker -> dead
-- Declare workers dead whose heartbeat is older than their lease. The check is in the
-- updating statement, on the locked row: one that renews first stays alive. Dead rows
-- stay an hour, so that a claim that commits late is found.
WITH buried AS (
    UPDATE pgqueue.worker SET dead_at = clock_timestamp()
    WHERE dead_at IS NULL
        AND heartbeat_at < clock_timestamp() - lease * interval '1 second'
    RETURNING id
), forgotten AS (
    DELETE FROM pgqueue.worker w WHERE w.dead_at < clock_timestamp() - interval '1 hour'
)
SELECT id FROM buried
