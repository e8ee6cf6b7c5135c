-- limit_groups_longer: settings
-- Handlers met limits: let no job of these groups start for some seconds, if they are not
-- held for longer already. Their claims find out. In one order, as each locks its row.
INSERT INTO pgqueue.group_limit AS g (queue_id, "group", limited_until)
SELECT %(queue_id)s, h."group", clock_timestamp() + h.delay * interval '1 second'
FROM unnest(%(groups)s::text[], %(delays)s::double precision[]) AS h("group", delay)
ORDER BY h."group"
ON CONFLICT (queue_id, "group") DO UPDATE
SET limited_until = greatest(g.limited_until, excluded.limited_until)
