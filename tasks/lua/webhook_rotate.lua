-- Let a new secret sign webhooks, and the one that it replaces beside it for a while.
--
-- KEYS: secrets of an API key
-- ARGV: 1 the new secret   2 seconds for which the one before still signs
-- Returns the time until which the one before signs. A client that lost the answer asks again with the same secret; nothing
-- changes then.

local current = redis.call('HGET', KEYS[1], 'current')
local until_then = redis.call('TIME')[1] + ARGV[2]
if current ~= ARGV[1] then
  if current then
    redis.call('HSET', KEYS[1], 'previous', current, 'previous_until', until_then)
  end
  redis.call('HSET', KEYS[1], 'current', ARGV[1])
end
return until_then
