-- note_drained: -> event
-- Say that a queue has run empty: nothing waits, nothing is active, and something was.
-- Sent after the last finish has committed and after hold_queue, so of two workers that
-- finish the last jobs at the same time the later one sees it, and only one says it.
INSERT INTO pgqueue.event (queue_id, name)
SELECT q.id, 'drained' FROM pgqueue.queue q
WHERE q.id = %(queue_id)s AND q.events
    -- In order and LIMIT 1: one step into the index. NOT EXISTS becomes a join, for
    -- which the planner may read the backlogs of all queues.
    AND (
        SELECT r.job_id FROM pgqueue.ready r WHERE r.queue_id = q.id
        ORDER BY r.priority, r.seq LIMIT 1
    ) IS NULL
    AND NOT EXISTS (SELECT FROM pgqueue.lease l WHERE l.queue_id = q.id)
    AND (
        SELECT e.name FROM (
            SELECT n.name, n.xid, n.id FROM pgqueue.event n WHERE n.queue_id = q.id
            ORDER BY n.xid DESC, n.id DESC LIMIT 10000
        ) AS e
        WHERE e.name IN ('active', 'completed', 'failed', 'drained')
        ORDER BY e.xid DESC, e.id DESC LIMIT 1
    ) <> 'drained'
RETURNING id
