-- read_moment: read
-- Now, by the database's clock and by the ids it gave: what comes later is not meant.
SELECT clock_timestamp(), (SELECT s.last_value FROM pgqueue.job_seq s)
