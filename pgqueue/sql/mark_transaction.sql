-- mark_transaction: settings
-- Mark the transaction of a handler, in which its job is to complete. The mark ends with
-- the transaction: were that committed or rolled back half-way, check_mark would see it,
-- and the completion would not follow alone.
SELECT set_config('pgqueue.completes', %(mark)s, true)
