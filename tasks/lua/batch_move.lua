-- The one atomic step between two statuses of a batch.
--
-- KEYS: batch hash, set of batches that are not at an end, finished batches by time, hash of the plan's cursors,
--       set of webhooks that are due
-- ARGV: 1 batch id   2 statuses it may come from, space-separated   3 status it goes to   4 id of this step
--       5 '1' when the new status is an end   6 its name among the webhooks   7... further fields and values
-- Returns 'ok', 'missing' or 'refused'. A client that lost the answer asks again with the same step id.

local status, step = unpack(redis.call('HMGET', KEYS[1], 'status', 'step'))
if not status then
  return 'missing'
end
if step == ARGV[4] then
  return 'ok'
end
if not string.find(' ' .. ARGV[2] .. ' ', ' ' .. status .. ' ', 1, true) then
  return 'refused'
end

redis.call('HSET', KEYS[1], 'status', ARGV[3], 'step', ARGV[4])
for i = 7, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
end
local time = redis.call('TIME')
local now = string.format('%.6f', time[1] + time[2] / 1e6)
if ARGV[3] == 'running' then
  redis.call('HSET', KEYS[1], 'started_at', now)
end
if ARGV[5] == '1' then
  redis.call('HSET', KEYS[1], 'finished_at', now)
  redis.call('SREM', KEYS[2], ARGV[1])
  redis.call('ZADD', KEYS[3], now, ARGV[1])
  if type(cjson.decode(redis.call('HGET', KEYS[1], 'terms'))['webhook_url']) == 'string' then
    redis.call('ZADD', KEYS[5], now, ARGV[6])
  end
else
  redis.call('HDEL', KEYS[1], 'finished_at')
  redis.call('SADD', KEYS[2], ARGV[1])
  redis.call('ZREM', KEYS[3], ARGV[1])
end
if ARGV[3] == 'canceling' then
  redis.call('HSET', KEYS[4], 'first', 1e9)
end
return 'ok'
