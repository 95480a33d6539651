-- Note how a try has ended, if it is still the right one.
--
-- KEYS: as webhook_queue.lua says
-- ARGV: 1 id   2 id of the claim   3 status of the delivery now   4 its attempts   5 seconds until it is tried again
--       6 '1' when the receiver has answered well   7 failures in a row after which it is asked less often
--       8 seconds until it is asked again after so many   9 the most seconds of that   10 most deliveries that are kept
-- Returns 1, or 0 when another has taken the delivery meanwhile.

local id = ARGV[1]
local owner, receiver, claim = unpack(redis.call('HMGET', key('delivery', id), 'owner', 'receiver', 'claim'))
if not owner or claim ~= ARGV[2] then
  return 0
end

local circuit = key('circuit', owner, receiver)
local closed_until, probe = unpack(redis.call('HMGET', circuit, 'closed_until', 'probe'))
if ARGV[6] == '1' then
  redis.call('DEL', circuit)
elseif not closed_until or tonumber(closed_until) <= now or probe == id then
  local beyond = redis.call('HINCRBY', circuit, 'failures', 1) - ARGV[7]
  redis.call('HDEL', circuit, 'probe')
  if beyond >= 0 then
    redis.call('HSET', circuit, 'closed_until', at(now + math.min(ARGV[9], ARGV[8] * 2 ^ beyond)))
  end
  redis.call('EXPIRE', circuit, 86400)
end

redis.call('HSET', key('delivery', id), 'attempts', ARGV[4])
if ARGV[3] == 'pending' then
  local due = at(now + ARGV[5])
  redis.call('HSET', key('delivery', id), 'due', due)
  redis.call('HDEL', key('delivery', id), 'claim')
  redis.call('HINCRBY', key('delivery', id), 'tries', 1)
  redis.call('ZADD', key('lane', owner, receiver), due, id)
else
  finish(id, owner, receiver, ARGV[3], tonumber(ARGV[10]))
end
schedule(owner, receiver)
release(id, owner, receiver)
return 1
