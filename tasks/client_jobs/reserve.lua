-- Count a job that is about to be recorded against the limits of the key that submits it, or against none of them.
--
-- A job counts as queued until its record says otherwise; that is looked up only where it decides.
--
-- KEYS: queued set of the owner, what the owner has spent today
-- ARGV: 1 job id   2 most queued jobs   3 pixels times steps of the job   4 most of these a day
--       5 first part of a job's key     6 seconds after which a job that has no record will never have one
-- Returns 'ok', 'queued', or the seconds until the next day. A client that lost the answer may ask again.

local queued, spent, id = KEYS[1], KEYS[2], ARGV[1]
if redis.call('ZSCORE', queued, id) then
  return 'ok'
end

local time = redis.call('TIME')
local now = tonumber(time[1])

if redis.call('ZCARD', queued) >= tonumber(ARGV[2]) then
  local members = redis.call('ZRANGE', queued, 0, -1, 'WITHSCORES')
  for i = 1, #members, 2 do
    local status = redis.call('HGET', ARGV[5] .. members[i], 'status')
    local never = not status and now - members[i + 1] > tonumber(ARGV[6])
    if never or (status and status ~= 'queued') then
      redis.call('ZREM', queued, members[i])
    end
  end
  if redis.call('ZCARD', queued) >= tonumber(ARGV[2]) then
    return 'queued'
  end
end

local today = math.floor(now / 86400)
local day, sum = unpack(redis.call('HMGET', spent, 'day', 'sum'))
local total = ARGV[3] + (tonumber(day) == today and sum or 0)
if total > tonumber(ARGV[4]) then
  return (today + 1) * 86400 - now
end

redis.call('HSET', spent, 'day', today, 'sum', string.format('%.0f', total))
redis.call('EXPIRE', spent, 2 * 86400)
redis.call('ZADD', queued, now, id)
return 'ok'
