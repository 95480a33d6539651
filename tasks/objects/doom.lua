-- Put the objects whose time has come among those that are being removed: from now on nothing can take them.
--
-- KEYS: notes, objects that are being removed
-- ARGV: 1 how many at most
-- Returns some of those that are being removed, in no order: one that cannot be removed holds up no other for long.

local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', redis.call('TIME')[1], 'LIMIT', 0, ARGV[1])
for _, key in ipairs(due) do
  redis.call('SADD', KEYS[2], key)
  redis.call('ZREM', KEYS[1], key)
end
return redis.call('SRANDMEMBER', KEYS[2], ARGV[1])
