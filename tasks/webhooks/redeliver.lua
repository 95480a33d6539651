-- Try a delivery again from the beginning, and its receiver at once, however often it has failed.
--
-- KEYS: as webhook_queue.lua says
-- ARGV: 1 id   2 owner   3 most that may wait   4 most that are kept besides
-- Returns 1, or 0 when the owner has no such delivery. One that is being sent is left alone.

local id = ARGV[1]
local owner, receiver, created, claim = unpack(
  redis.call('HMGET', key('delivery', id), 'owner', 'receiver', 'created', 'claim'))
if owner ~= ARGV[2] then
  return 0
end
local lapses = redis.call('ZSCORE', key('sending', 'key', owner), id)
if claim and lapses and tonumber(lapses) > now then
  return 1
end
redis.call('HDEL', key('circuit', owner, receiver), 'closed_until')
enqueue(id, owner, receiver, created, tonumber(ARGV[3]), tonumber(ARGV[4]))
return 1
