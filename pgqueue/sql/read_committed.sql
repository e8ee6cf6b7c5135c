-- read_committed: settings
-- Our statements skip rows that others hold and look again at rows that they waited for;
-- under a database whose default is stricter they would fail instead.
SELECT set_config('default_transaction_isolation', 'read committed', false)
WHERE current_setting('default_transaction_isolation') <> 'read committed'
