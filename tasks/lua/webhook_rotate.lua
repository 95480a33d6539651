-- Let a new secret sign webhooks, and the one that it replaces beside it for a while.
--
-- KEYS: secrets of an API key
-- ARGV: 1 the new secret   2 seconds for which the one before still signs
-- A client that lost the answer asks again with the same secret; nothing changes then.

local current = redis.call('HGET', KEYS[1], 'current')
if current == ARGV[1] then
  return
end
if current then
  local time = redis.call('TIME')
  redis.call('HSET', KEYS[1], 'previous', current, 'previous_until', time[1] + ARGV[2])
end
redis.call('HSET', KEYS[1], 'current', ARGV[1])
