-- oldest_writer: read
-- The oldest transaction that still writes; below it everything is decided.
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint
