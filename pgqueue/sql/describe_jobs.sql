-- describe_jobs: read
-- What a claim does not tell of the jobs that it took: their own key, how far they were.
SELECT j.id, j.key, p.value::text
FROM pgqueue.job j
LEFT JOIN pgqueue.progress p ON p.queue_id = j.queue_id AND p.job_id = j.id
WHERE j.queue_id = %(queue_id)s AND j.id = ANY(%(job_ids)s)
