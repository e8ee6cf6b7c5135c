-- check_mark: settings
-- Whether this is still the transaction that was marked. The outcome follows, and is the
-- last statement of it: it locks the lease row, which other jobs of the worker share. It
-- is planned as in a worker's round trip, see plan_by_index.
SELECT coalesce(current_setting('pgqueue.completes', true), '') = %(mark)s,
    set_config('enable_seqscan', 'off', true),
    set_config('enable_bitmapscan', 'off', true),
    set_config('enable_mergejoin', 'off', true),
    set_config('plan_cache_mode', 'force_generic_plan', true),
    set_config('jit', 'off', true)
