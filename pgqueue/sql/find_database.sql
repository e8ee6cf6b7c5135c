-- find_database: settings
-- Name the database in which this runs.
SELECT current_database()::text
