-- Count a request of an API key, if there were not too many in the last minute, by the server's clock.
--
-- KEYS: times of its latest requests, the last first
-- ARGV: 1 most requests in a minute
-- Returns '0', or the seconds after which there is room for another one. A request that is asked twice counts twice.

local WINDOW = 60

local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
local last = tonumber(redis.call('LINDEX', KEYS[1], 0) or 0)
if last > now then  -- the clock was set back
  redis.call('DEL', KEYS[1])
end
local first = redis.call('LINDEX', KEYS[1], ARGV[1] - 1)
if first and now - first < WINDOW then
  return string.format('%.6f', WINDOW - (now - first))
end
redis.call('LPUSH', KEYS[1], string.format('%.6f', now))
redis.call('LTRIM', KEYS[1], 0, ARGV[1] - 1)
redis.call('EXPIRE', KEYS[1], WINDOW)
return '0'
