-- find_occurrence: read
-- The job of one occurrence of a schedule, by its millisecond: the pending one by its
-- row, one that has begun by a look through the bodies of the queue, which is rare.
SELECT j.id FROM pgqueue.queue q
JOIN pgqueue.schedule s ON s.queue_id = q.id AND s.key = %(key)s
JOIN pgqueue.job j ON j.queue_id = s.queue_id AND j.id = s.job_id
WHERE q.name = %(queue)s
    AND floor(date_part('epoch', s.next_at) * 1000 + 0.0001)::bigint = %(millis)s
UNION ALL
SELECT j.id FROM pgqueue.queue q
JOIN pgqueue.job j ON j.queue_id = q.id
WHERE q.name = %(queue)s AND j.options ->> 'schedule' = %(key)s
    AND left(j.options ->> 'scheduled_at', 23) = %(instant)s
LIMIT 1
