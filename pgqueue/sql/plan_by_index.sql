-- plan_by_index: settings
-- For the rest of this transaction plan by index only, and once: a plan made while the
-- tables were empty is kept by a prepared statement after they have grown, and one made
-- for each call costs a microsecond a job.
SELECT set_config('enable_seqscan', 'off', true),
    set_config('enable_bitmapscan', 'off', true),
    set_config('enable_mergejoin', 'off', true),
    set_config('plan_cache_mode', 'force_generic_plan', true),
    set_config('jit', 'off', true)
