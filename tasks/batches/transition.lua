-- The one atomic step between two statuses of a batch. It takes the objects that it names, and notes those that it names
-- no longer.
--
-- KEYS: 1 batch hash   2 set of batches that are not at an end   3 finished batches by time   4 hash of the plan's cursors
--       5 set of webhooks that are due   6 notes of objects
-- ARGV: 1 batch id   2 statuses it may come from, space-separated   3 status it goes to   4 id of this step
--       5 '1' when the new status is an end   6 its name among the webhooks   7 id of the step that it was read after
--       8 seconds that an object which it names no longer is kept         9 how many objects it takes, and
--       10 how many it names no longer   11... their keys, then further fields and values
-- Returns 'ok', 'missing', 'changed' (another step came first), 'refused' or 'gone' (an object was removed).
-- A client that lost the answer asks again with the same step id.

local status, step = unpack(redis.call('HMGET', KEYS[1], 'status', 'step'))
if not status then
  return 'missing'
end
if step == ARGV[4] then
  return 'ok'
end
if (step or '') ~= ARGV[7] then
  return 'changed'
end
if not string.find(' ' .. ARGV[2] .. ' ', ' ' .. status .. ' ', 1, true) then
  return 'refused'
end

local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
local taken = 10 + tonumber(ARGV[9])
local left = taken + tonumber(ARGV[10])
for i = 11, taken do
  if not redis.call('ZSCORE', KEYS[6], ARGV[i]) then
    return 'gone'
  end
end
for i = 11, taken do
  redis.call('ZREM', KEYS[6], ARGV[i])
end
for i = taken + 1, left do
  redis.call('ZADD', KEYS[6], string.format('%.6f', now + ARGV[8]), ARGV[i])
end

redis.call('HSET', KEYS[1], 'status', ARGV[3], 'step', ARGV[4])
for i = left + 1, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
end
now = string.format('%.6f', now)
if ARGV[3] == 'running' then
  redis.call('HSET', KEYS[1], 'started_at', now)
else
  redis.call('DEL', KEYS[4])
end
if ARGV[5] == '1' then
  redis.call('HSET', KEYS[1], 'finished_at', now)
  redis.call('SREM', KEYS[2], ARGV[1])
  redis.call('ZADD', KEYS[3], now, ARGV[1])
  if type(cjson.decode(redis.call('HGET', KEYS[1], 'options'))['webhook_url']) == 'string' then
    redis.call('ZADD', KEYS[5], now, ARGV[6])
  end
else
  redis.call('HDEL', KEYS[1], 'finished_at')
  redis.call('SADD', KEYS[2], ARGV[1])
  redis.call('ZREM', KEYS[3], ARGV[1])
end
return 'ok'
