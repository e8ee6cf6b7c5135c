-- drop_schedules: schedule -> removed
-- Remove all schedules of a queue; what is left of their jobs is removed like any other.
DELETE FROM pgqueue.schedule s WHERE s.queue_id = %(queue_id)s
