-- Turns of the owners in an interactive lane; this part stands before the scripts that use it.
--
-- Start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996), a job being the unit: an owner's next turn starts where
-- its last one ended, one divided by its weight later, or at the time of the lane where that is later; the earliest start
-- is due, and becomes the time of the lane. An owner that comes late or rested gains nothing by it, and what leaves the
-- lane without being drawn costs its owner nothing. A lane that becomes empty forgets.
--
-- A lane: {lines: lines of owners that have queued jobs, by the start of their next turns,
--          ends: by line the end of its last turn, of owners without queued jobs; '' is the time of the lane,
--          weights: by line the weight of its owner,
--          line: ids of the queued jobs of one owner, in the order in which they are due}

-- Between equals the first come is served first: each that joins is this much of a turn later.
local STEP = 1e-6
-- Ends that are over are forgotten each time there are so many more.
local PRUNE = 64

local function number_of(key, name)
  return tonumber(redis.call('HGET', key, name) or 0)
end

local function as_text(number)
  return string.format('%.17g', number)
end

local function join_lane(lane, id, due, weight)
  if redis.call('EXISTS', lane.line) == 0 then
    local now = number_of(lane.ends, '')
    redis.call('ZADD', lane.lines, as_text(math.max(now, number_of(lane.ends, lane.line))), lane.line)
    redis.call('HDEL', lane.ends, lane.line)
    redis.call('HSET', lane.ends, '', as_text(now + STEP))
  end
  redis.call('HSET', lane.weights, lane.line, weight)
  redis.call('ZADD', lane.line, due, id)
end

-- Take a job out of the lane, which its owner's turn is for if it is drawn.
local function leave_lane(lane, id, drawn)
  if redis.call('ZREM', lane.line, id) == 0 then
    return
  end
  local start = tonumber(redis.call('ZSCORE', lane.lines, lane.line) or 0)
  local now = number_of(lane.ends, '')
  local weight = tonumber(redis.call('HGET', lane.weights, lane.line) or 1)
  local next_start = start
  if drawn then
    now = math.max(now, start)
    next_start = start + 1 / weight
    redis.call('HSET', lane.ends, '', as_text(now))
  end
  if redis.call('EXISTS', lane.line) == 1 then
    redis.call('ZADD', lane.lines, as_text(next_start), lane.line)
    return
  end
  redis.call('ZREM', lane.lines, lane.line)
  redis.call('HDEL', lane.weights, lane.line)
  if redis.call('EXISTS', lane.lines) == 0 then
    redis.call('DEL', lane.ends)
    return
  end
  if next_start > now then
    redis.call('HSET', lane.ends, lane.line, as_text(next_start))
  end
  if redis.call('HLEN', lane.ends) % PRUNE == 0 then
    for _, line in ipairs(redis.call('HKEYS', lane.ends)) do
      if line ~= '' and number_of(lane.ends, line) <= now then
        redis.call('HDEL', lane.ends, line)
      end
    end
  end
end

