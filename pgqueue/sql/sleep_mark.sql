-- sleep_mark: read
-- Run after arm_doorbell: a transaction id of our own, above that of every transaction
-- which may have looked for sleepers before the lock was there. The xmax of a snapshot
-- would not do: it is next to the last id that has *ended*, older ones may be open.
SELECT pg_current_xact_id()::text::bigint
