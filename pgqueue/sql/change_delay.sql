-- change_delay: delayed
-- Count the delay of a job anew, from now; a sleeper that must wake earlier is rung.
WITH moved AS (
    UPDATE pgqueue.delayed d
    SET run_at = clock_timestamp() + %(delay)s::double precision * interval '1 second'
    WHERE d.queue_id = (SELECT q.id FROM pgqueue.queue q WHERE q.name = %(queue)s)
        AND d.job_id = %(job_id)s
    RETURNING d.queue_id, d.job_id
), noted AS (
    INSERT INTO pgqueue.event (queue_id, job_id, name, data)
    SELECT m.queue_id, m.job_id, 'delayed', json_build_object('delay', %(delay)s::float8)
    FROM moved m JOIN pgqueue.queue q ON q.id = m.queue_id AND q.events
)
SELECT m.job_id, pgqueue.ring(m.queue_id) FROM moved m
