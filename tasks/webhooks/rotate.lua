-- Let a new secret sign webhooks, and the one that it replaces beside it for a while.
--
-- KEYS: secrets of an API key
-- ARGV: 1 the new secret   2 seconds for which the one before still signs   3 idempotency key of the request, or ''
-- Returns the secret, and the time until which the one before signs; or false: the idempotency key belongs to another
-- request. A request that is sent again, by us or under its idempotency key, changes nothing and gets the same answer.

local current, request, seconds, until_then =
  unpack(redis.call('HMGET', KEYS[1], 'current', 'request', 'seconds', 'until'))
if ARGV[3] ~= '' and request == ARGV[3] and seconds ~= ARGV[2] then
  return false
end
if current == ARGV[1] or (ARGV[3] ~= '' and request == ARGV[3]) then
  return {current, until_then}
end
until_then = redis.call('TIME')[1] + ARGV[2]
if current then
  redis.call('HSET', KEYS[1], 'previous', current, 'previous_until', until_then)
end
redis.call('HSET', KEYS[1], 'current', ARGV[1], 'request', ARGV[3], 'seconds', ARGV[2], 'until', until_then)
return {ARGV[1], tostring(until_then)}
