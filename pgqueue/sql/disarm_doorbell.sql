-- disarm_doorbell: settings
-- Say that this session is awake: adds need not ring for it. It holds no other advisory
-- locks, and these count: after a half-taken or refused arm_doorbell none may be left.
SELECT pg_advisory_unlock_all()
