-- mark_position: read
-- The last position that was given to a job; what becomes ready later is behind it.
SELECT last_value FROM pgqueue.job_seq
