-- Record a new job as queued and unsent.
--
-- KEYS: job hash, waiting set of its base model, unsent set
-- ARGV: 1 job id   2 first part of the score in the waiting set   3... fields and values
-- Returns the time of creation in seconds since 1970, as text. A client that lost the answer may ask again.

local before = redis.call('HGET', KEYS[1], 'created_at')
if before then
  return before
end

local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
local created = string.format('%.6f', now)

redis.call('HSET', KEYS[1], 'status', 'queued', 'attempt', 0, 'created_at', created, unpack(ARGV, 3))
redis.call('ZADD', KEYS[2], string.format('%.6f', ARGV[2] + now), ARGV[1])
redis.call('ZADD', KEYS[3], created, ARGV[1])
return created
