-- update_data: waiting, delayed, waiting_children, completed, failed
-- Replace the data of a job that is not active. The row of its state is locked meanwhile:
-- a claim skips it, and one that came first leaves nothing to lock.
WITH asked AS MATERIALIZED (
    SELECT b.queue_id, b.id, b.priority
    FROM pgqueue.queue q
    JOIN pgqueue.job b ON b.queue_id = q.id AND b.id = %(job_id)s
    WHERE q.name = %(queue)s
), waiting AS MATERIALIZED (
    SELECT w.queue_id, w.job_id FROM pgqueue.ready w WHERE w.ctid = ANY(ARRAY(
        SELECT place.ctid FROM asked a CROSS JOIN LATERAL (
            SELECT r.ctid FROM pgqueue.ready r
            WHERE r.queue_id = a.queue_id AND r.priority = a.priority AND r.seq = a.id
            UNION ALL
            SELECT r.ctid FROM pgqueue.ready r
            WHERE r.queue_id = a.queue_id AND r.priority = a.priority AND r.seq = -a.id
            UNION ALL
            SELECT r.ctid FROM pgqueue.ready r
            WHERE r.queue_id = a.queue_id AND r.job_id = a.id AND r.moved
        ) AS place
    )) FOR UPDATE
), later AS MATERIALIZED (
    SELECT d.queue_id, d.job_id FROM asked a
    JOIN pgqueue.delayed d ON d.queue_id = a.queue_id AND d.job_id = a.id
    FOR UPDATE OF d
), blocked AS MATERIALIZED (
    SELECT b.queue_id, b.job_id FROM asked a
    JOIN pgqueue.blocked b ON b.queue_id = a.queue_id AND b.job_id = a.id
    FOR UPDATE OF b
), done AS MATERIALIZED (
    SELECT f.queue_id, f.job_id FROM asked a
    JOIN pgqueue.finished f ON f.queue_id = a.queue_id AND f.job_id = a.id
    FOR UPDATE OF f
), held AS MATERIALIZED (
    SELECT * FROM waiting UNION ALL SELECT * FROM later
    UNION ALL SELECT * FROM blocked UNION ALL SELECT * FROM done
), body AS (
    UPDATE pgqueue.job j SET data = %(data)s::json FROM held h
    WHERE j.queue_id = h.queue_id AND j.id = h.job_id
)
SELECT h.job_id, pgqueue.ring(h.queue_id) FROM held h
