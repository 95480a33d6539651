-- What the scripts of the webhooks' queue share; it is put before each of them. tasks/webhooks/deliveries.py says what
-- the keys hold.
--
-- KEYS: 1 what the names of all keys begin with, itself the ends that are no deliveries yet

local function key(...)
  return table.concat({KEYS[1], ...}, ':')
end

local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6

local function at(seconds)
  return string.format('%.6f', seconds)
end

-- Note when an owner's receiver, and with it the owner, is to be looked at next.
local function schedule(owner, receiver)
  local due = redis.call('ZRANGE', key('lane', owner, receiver), 0, 0, 'WITHSCORES')[2]
  if not due then
    redis.call('ZREM', key('lanes', owner), receiver)
    return
  end
  local opens = redis.call('HGET', key('circuit', owner, receiver), 'closed_until')
  local next = at(math.max(due, opens or 0))
  redis.call('ZADD', key('lanes', owner), next, receiver)
  redis.call('ZADD', key('owners'), 'LT', next, owner)
end

-- Let go of the place among those that are being sent.
local function release(id, owner, receiver)
  redis.call('ZREM', key('sending', 'key', owner), id)
  redis.call('ZREM', key('sending', 'receiver', receiver), id)
  redis.call('ZADD', key('owners'), 'LT', at(now), owner)
end

-- Forget a delivery whose record is gone, or is to go.
local function forget(id, owner)
  local created = redis.call('HGET', key('delivery', id), 'created')
  if created then
    redis.call('ZREM', key('log', owner), created .. ':' .. id)
  end
  redis.call('ZREM', key('pending', owner), id)
  redis.call('ZREM', key('done', owner), id)
  redis.call('DEL', key('delivery', id))
end

-- Try a delivery no more, and forget those that ended first when too many are kept.
local function finish(id, owner, receiver, status, max_done)
  redis.call('HSET', key('delivery', id), 'status', status)
  redis.call('HDEL', key('delivery', id), 'due', 'claim')
  redis.call('ZREM', key('lane', owner, receiver), id)
  redis.call('ZREM', key('pending', owner), id)
  redis.call('ZADD', key('done', owner), at(now), id)
  for _, oldest in ipairs(redis.call('ZRANGE', key('done', owner), 0, -1 - max_done)) do
    forget(oldest, owner)
  end
end

-- Let a delivery wait for its turn, and drop the oldest that waits when too many do.
local function enqueue(id, owner, receiver, created, max_pending, max_done)
  redis.call('HSET', key('delivery', id), 'status', 'pending', 'due', at(now), 'tries', 0)
  redis.call('ZREM', key('done', owner), id)
  redis.call('ZADD', key('pending', owner), created, id)
  redis.call('ZADD', key('lane', owner, receiver), at(now), id)
  for _, oldest in ipairs(redis.call('ZRANGE', key('pending', owner), 0, -1 - max_pending)) do
    local its_receiver = redis.call('HGET', key('delivery', oldest), 'receiver')
    if its_receiver then
      finish(oldest, owner, its_receiver, 'dropped', max_done)
      schedule(owner, its_receiver)
    else
      forget(oldest, owner)
    end
  end
  schedule(owner, receiver)
end
