-- Take the delivery whose turn it is, under a lease: owners in turn, the receivers of an owner in turn.
--
-- KEYS: as webhook_queue.lua says
-- ARGV: 1 id of the claim   2 seconds until the lease lapses   3 most at once for an owner   4 most at once for a receiver
--       5 failures in a row after which a receiver is tried by one delivery at a time   6 seconds after which to look
--       again at what is full   7 how many places to look at
-- Returns the id of the delivery, the time, and its fields and values in turn; or nothing. What is looked at in vain is put off, so
-- that a call costs the same however much waits. A lease that lapses leaves its delivery due.

local claim, most_looks = ARGV[1], tonumber(ARGV[7])
local lapses, later = at(now + ARGV[2]), at(now + ARGV[6])

local function is_full(place, most)
  redis.call('ZREMRANGEBYSCORE', place, '-inf', at(now))
  return redis.call('ZCARD', place) >= tonumber(most)
end

-- Take the first delivery of a lane that is due; its id, or nothing.
local function take(owner, receiver)
  local lane, circuit = key('lane', owner, receiver), key('circuit', owner, receiver)
  local id = redis.call('ZRANGEBYSCORE', lane, '-inf', at(now), 'LIMIT', 0, 1)[1]
  if not id then
    schedule(owner, receiver)
    return
  end
  if redis.call('EXISTS', key('delivery', id)) == 0 then
    redis.call('ZREM', lane, id)
    forget(id, owner)
    return
  end
  redis.call('ZADD', lane, lapses, id)
  for _, sending in ipairs({key('sending', 'key', owner), key('sending', 'receiver', receiver)}) do
    redis.call('ZADD', sending, lapses, id)
    redis.call('EXPIRE', sending, math.ceil(ARGV[2]))
  end
  redis.call('HSET', key('delivery', id), 'claim', claim)
  if tonumber(redis.call('HGET', circuit, 'failures') or 0) >= tonumber(ARGV[5]) then
    redis.call('HSET', circuit, 'closed_until', lapses, 'probe', id)
    schedule(owner, receiver)
  else
    redis.call('ZADD', key('lanes', owner), at(now), receiver)
  end
  return id
end

for look = 1, most_looks do
  local turn = at(now + look / 1e6)  -- behind all whose turn has come
  local owner = redis.call('ZRANGEBYSCORE', key('owners'), '-inf', turn, 'LIMIT', 0, 1)[1]
  if not owner then
    return
  end
  local lanes = key('lanes', owner)
  local first = redis.call('ZRANGE', lanes, 0, 0, 'WITHSCORES')
  local receiver, due = first[1], first[2]
  if not receiver then
    redis.call('ZREM', key('owners'), owner)
  elseif tonumber(due) > now then
    redis.call('ZADD', key('owners'), due, owner)
  elseif is_full(key('sending', 'key', owner), ARGV[3]) then
    redis.call('ZADD', key('owners'), later, owner)
  else
    redis.call('ZADD', key('owners'), turn, owner)
    if is_full(key('sending', 'receiver', receiver), ARGV[4]) then
      redis.call('ZADD', lanes, later, receiver)
    else
      local id = take(owner, receiver)
      if id then
        return {id, at(now), redis.call('HGETALL', key('delivery', id))}
      end
    end
  end
end
