-- sleep_mark: read
-- Run after arm_doorbell, under a snapshot of its own: transactions older than this
-- mark may have looked for sleepers before the lock was there.
SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint
