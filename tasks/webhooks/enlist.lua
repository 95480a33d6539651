-- Make a delivery of the end of a job or a batch.
--
-- KEYS: as webhook_queue.lua says
-- ARGV: 1 the end's name among those that are no deliveries yet   2 id of the delivery   3 owner   4 receiver
--       5 seconds that it is kept   6 most that may wait   7 most that are kept besides   8... further fields and values
-- Nothing happens when the end has become a delivery already.

local id, owner, receiver, keep_s = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
if redis.call('ZREM', KEYS[1], ARGV[1]) == 0 or redis.call('EXISTS', key('delivery', id)) == 1 then
  return
end

redis.call('HSET', key('delivery', id), 'owner', owner, 'receiver', receiver, 'created', at(now), unpack(ARGV, 8))
redis.call('EXPIRE', key('delivery', id), keep_s)
redis.call('ZADD', key('log', owner), 0, at(now) .. ':' .. id)
redis.call('ZREMRANGEBYLEX', key('log', owner), '-', '(' .. at(now - keep_s))
redis.call('ZREMRANGEBYSCORE', key('pending', owner), '-inf', at(now - keep_s))
redis.call('ZREMRANGEBYSCORE', key('done', owner), '-inf', at(now - keep_s))
enqueue(id, owner, receiver, at(now), tonumber(ARGV[6]), tonumber(ARGV[7]))
for _, name in ipairs({'log', 'pending', 'done'}) do
  redis.call('EXPIRE', key(name, owner), keep_s)
end
