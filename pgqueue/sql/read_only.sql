-- read_only: settings
-- Whether the server takes no writes: a standby, or a primary that another has replaced.
-- Asked once a connection of a worker's; each claim on it would be refused, and at once.
SELECT current_setting('transaction_read_only')::boolean
