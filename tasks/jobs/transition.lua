-- The one atomic step between two statuses of a job.
--
-- KEYS: job hash, waiting set of its base model, unsent set, leases set, deadlines set, finished set,
--       list of its owner's jobs, measured seconds of a job of its base model, set of webhooks that are due,
--       groups of its base model's backfill lane, set of attempts that may have left images behind,
--       and of an interactive job its lane: lines, ends, weights, the line of its owner
-- ARGV: 1 job id            2 statuses it may come from, space-separated     3 status it goes to
--       4 fencing token, `<attempt>-<claim>` ('' when the step is not a worker's)
--       5 lease in seconds  6 seconds that were measured, a JSON object by what  7 score in the waiting set
--       8 channel to announce the change on                                  9 id of this step
--       10 channel to announce the id of a canceled job on                    11... further fields and values
-- Returns the job's fields and values in turn, or 'missing', 'refused' (not from this status), 'fenced' (another claim
-- owns it) or 'late' (its deadline is over, so that it must not begin).
-- A client that lost the answer asks again with the same step id and gets the answer once more; the step is not repeated.

local job, waiting, unsent, leases, deadlines, finished, list, pace, webhooks, groups, uploads = unpack(KEYS)
local lane = {lines = KEYS[12], ends = KEYS[13], weights = KEYS[14], line = KEYS[15]}
local id, to, token = ARGV[1], ARGV[3], ARGV[4]

-- How much of the average the latest job is: it follows a change within about ten jobs.
local WEIGHT = 0.2

local status, attempt, claim, last_step, created, group =
  unpack(redis.call('HMGET', job, 'status', 'attempt', 'claim', 'step', 'created_at', 'group'))
if not status then
  return 'missing'
end
if last_step == ARGV[9] then
  return redis.call('HGETALL', job)
end
if not string.find(' ' .. ARGV[2] .. ' ', ' ' .. status .. ' ', 1, true) then
  return 'refused'
end
local held = attempt .. '-' .. (claim or '')
if token ~= '' and token ~= held then
  return 'fenced'
end

local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6

if to == 'running' then
  local deadline = redis.call('ZSCORE', deadlines, id)
  if deadline and tonumber(deadline) <= now then
    return 'late'
  end
end

redis.call('HSET', job, 'status', to, 'step', ARGV[9])
for i = 11, #ARGV, 2 do
  redis.call('HSET', job, ARGV[i], ARGV[i + 1])
end
redis.call('ZREM', list .. ':' .. status, created .. ':' .. id)
redis.call('ZADD', list .. ':' .. to, 0, created .. ':' .. id)

if to == 'queued' and group then
  redis.call('ZADD', group, ARGV[7], id)
  redis.call('ZADD', groups, 'LT', ARGV[7], group)
elseif to == 'queued' then
  redis.call('ZADD', unsent, string.format('%.6f', now), id)
  join_lane(lane, id, ARGV[7], redis.call('HGET', job, 'weight') or 1)
elseif not group then
  leave_lane(lane, id, to == 'running')
elseif redis.call('ZREM', group, id) == 1 and redis.call('EXISTS', group) == 0 then
  redis.call('ZREM', groups, group)
end
if to == 'queued' then
  redis.call('HDEL', job, 'progress', 'started_at', 'waits', 'worker')
  redis.call('ZADD', waiting, ARGV[7], id)
  redis.call('ZREM', leases, id)
elseif to == 'running' then
  redis.call('HINCRBY', job, 'attempt', 1)
  redis.call('HSET', job, 'started_at', string.format('%.6f', now), 'lease_s', ARGV[5])
  redis.call('ZREM', waiting, id)
  redis.call('ZREM', unsent, id)
  redis.call('ZREM', deadlines, id)
  redis.call('ZADD', leases, string.format('%.6f', now + ARGV[5]), id)
else
  redis.call('HSET', job, 'finished_at', string.format('%.6f', now))
  local ended = redis.call('HGET', job, 'ended')
  if ended then
    redis.call('RPUSH', ended, id)
  end
  redis.call('ZREM', waiting, id)
  redis.call('ZREM', unsent, id)
  redis.call('ZREM', leases, id)
  redis.call('ZREM', deadlines, id)
  redis.call('ZADD', finished, string.format('%.6f', now), id)
  if to == 'succeeded' then
    redis.call('SREM', uploads, id .. '/' .. held)
  end
  if type(cjson.decode(redis.call('HGET', job, 'options'))['webhook_url']) == 'string' then
    redis.call('ZADD', webhooks, string.format('%.6f', now), id)
  end
end
for what, seconds in pairs(cjson.decode(ARGV[6])) do
  local average = tonumber(redis.call('HGET', pace, what) or seconds)
  redis.call('HSET', pace, what, string.format('%.9g', average + WEIGHT * (seconds - average)))
end
redis.call('PUBLISH', ARGV[8], to)
if to == 'canceled' then
  redis.call('PUBLISH', ARGV[10], id)
end
return redis.call('HGETALL', job)
