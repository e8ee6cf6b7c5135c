-- plan_by_index: settings
-- For the rest of this transaction plan by index only: a plan made while the tables
-- were empty is kept by a prepared statement after they have grown.
SELECT set_config('enable_seqscan', 'off', true),
    set_config('enable_bitmapscan', 'off', true),
    set_config('enable_mergejoin', 'off', true),
    set_config('jit', 'off', true)
