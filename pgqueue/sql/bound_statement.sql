-- bound_statement: settings
-- End statements of this transaction that take longer; returns what was set before.
SELECT current_setting('statement_timeout'),
    set_config('statement_timeout', %(timeout)s, true)
