-- schema_version: read
-- The migration that this database is at.
SELECT version_num FROM pgqueue.alembic_version
