-- add_jobs: -> waiting, delayed
-- Add one job or thousands through the public function, in the given order.
SELECT "position", id, existing, created_at, run_at
FROM pgqueue.add_jobs(%(queue)s, %(jobs)s::json)
