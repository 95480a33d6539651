-- Count what a batch costs against what its client's key may spend in a day, once.
--
-- KEYS: what the owner has spent today, batch hash
-- ARGV: 1 pixels times steps of the batch   2 most of these a day
-- Returns 'ok', or the seconds until the next day. A client that lost the answer may ask again.

if redis.call('HEXISTS', KEYS[2], 'charged') == 1 then
  return 'ok'
end
local now = tonumber(redis.call('TIME')[1])
local today = math.floor(now / 86400)
local day, sum = unpack(redis.call('HMGET', KEYS[1], 'day', 'sum'))
local total = ARGV[1] + (tonumber(day) == today and sum or 0)
if total > tonumber(ARGV[2]) then
  return (today + 1) * 86400 - now
end
redis.call('HSET', KEYS[1], 'day', today, 'sum', string.format('%.0f', total))
redis.call('EXPIRE', KEYS[1], 2 * 86400)
redis.call('HSET', KEYS[2], 'charged', ARGV[1])
return 'ok'
