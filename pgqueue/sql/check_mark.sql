-- check_mark: settings
-- Whether this is still the transaction that was marked. The outcome follows, and is the
-- last statement of it: it locks the lease row, which other jobs of the worker share, and
-- which recovery would wait for. So a machine that vanishes before it sends the commit
-- must not keep that lock until TCP notices: the server gives it ten seconds. Planned is
-- as in a worker's round trip, see plan_by_index.
SELECT coalesce(current_setting('pgqueue.completes', true), '') = %(mark)s,
    set_config('idle_in_transaction_session_timeout', CASE
        WHEN current_setting('idle_in_transaction_session_timeout')::interval
            BETWEEN interval '1 ms' AND interval '10 s'
        THEN current_setting('idle_in_transaction_session_timeout') ELSE '10s' END, true),
    set_config('enable_seqscan', 'off', true),
    set_config('enable_bitmapscan', 'off', true),
    set_config('enable_mergejoin', 'off', true),
    set_config('plan_cache_mode', 'force_generic_plan', true),
    set_config('jit', 'off', true)
