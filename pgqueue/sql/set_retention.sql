-- set_retention: settings
-- Jobs that finish from the commit on are kept by it; each kept job has its own bounds.
-- One row, so a finish sees either the old rule or the new one.
UPDATE pgqueue.queue SET
    completed_age = CASE WHEN %(completed)s
        THEN %(completed_age)s::double precision ELSE completed_age END,
    completed_count = CASE WHEN %(completed)s
        THEN %(completed_count)s::bigint ELSE completed_count END,
    failed_age = CASE WHEN %(failed)s
        THEN %(failed_age)s::double precision ELSE failed_age END,
    failed_count = CASE WHEN %(failed)s
        THEN %(failed_count)s::bigint ELSE failed_count END
WHERE id = %(queue_id)s
