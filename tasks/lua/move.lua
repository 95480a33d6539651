-- The one atomic step between two statuses of a job.
--
-- KEYS: job hash, waiting set of its base model, unsent set, leases set, set of webhooks that are due
-- ARGV: 1 job id            2 statuses it may come from, space-separated     3 status it goes to
--       4 fencing token ('' when the step is not a worker's)
--       5 lease in seconds  6 retention in seconds of a finished job         7 score in the waiting set
--       8 channel to announce the change on                                  9 id of this step
--       10... further fields and values
-- Returns the job's attempt, or 'missing', 'refused' (not from this status) or 'fenced' (another attempt owns it).
-- A client that lost the answer asks again with the same step id and gets the answer once more; the step is not repeated.

local job, waiting, unsent, leases = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local id, to, token = ARGV[1], ARGV[3], ARGV[4]

local status, attempt, last_step = unpack(redis.call('HMGET', job, 'status', 'attempt', 'step'))
if not status then
  return 'missing'
end
if last_step == ARGV[9] then
  return tonumber(attempt)
end
if not string.find(' ' .. ARGV[2] .. ' ', ' ' .. status .. ' ', 1, true) then
  return 'refused'
end
if token ~= '' and token ~= attempt then
  return 'fenced'
end

local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6

redis.call('HSET', job, 'status', to, 'step', ARGV[9])
for i = 10, #ARGV, 2 do
  redis.call('HSET', job, ARGV[i], ARGV[i + 1])
end

if to == 'queued' then
  redis.call('HDEL', job, 'progress', 'started_at', 'worker')
  redis.call('ZADD', waiting, ARGV[7], id)
  redis.call('ZADD', unsent, string.format('%.6f', now), id)
  redis.call('ZREM', leases, id)
elseif to == 'running' then
  attempt = redis.call('HINCRBY', job, 'attempt', 1)
  redis.call('HSET', job, 'started_at', string.format('%.6f', now))
  redis.call('ZREM', waiting, id)
  redis.call('ZREM', unsent, id)
  redis.call('ZADD', leases, string.format('%.6f', now + ARGV[5]), id)
else
  redis.call('HSET', job, 'finished_at', string.format('%.6f', now))
  redis.call('ZREM', waiting, id)
  redis.call('ZREM', unsent, id)
  redis.call('ZREM', leases, id)
  redis.call('EXPIRE', job, ARGV[6])
  if type(cjson.decode(redis.call('HGET', job, 'terms'))['webhook_url']) == 'string' then
    redis.call('ZADD', KEYS[5], string.format('%.6f', now), id)
  end
end
redis.call('PUBLISH', ARGV[8], to)
return tonumber(attempt)
