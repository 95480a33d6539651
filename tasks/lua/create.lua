-- Record a new job as queued and unsent, unless its idempotency key has a job already.
--
-- KEYS: job hash, waiting set of its base model, unsent set, and with an idempotency key its hash
-- ARGV: 1 job id   2 first part of the score in the waiting set
--       3 digest of the request   4 seconds that an idempotency key is kept   5... fields and values
-- Returns the time of creation in seconds since 1970, as text; or, of the key's first job, its id and the digest of its
-- request. A client that lost the answer may ask again.

local before = redis.call('HGET', KEYS[1], 'created_at')
if before then
  return before
end

if KEYS[4] then
  local first, digest, job = unpack(redis.call('HMGET', KEYS[4], 'id', 'digest', 'job'))
  if first and redis.call('EXISTS', job) == 1 then
    return {first, digest}
  end
  redis.call('HSET', KEYS[4], 'id', ARGV[1], 'digest', ARGV[3], 'job', KEYS[1])
  redis.call('EXPIRE', KEYS[4], ARGV[4])
end

local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
local created = string.format('%.6f', now)

redis.call('HSET', KEYS[1], 'status', 'queued', 'attempt', 0, 'created_at', created, unpack(ARGV, 5))
redis.call('ZADD', KEYS[2], string.format('%.6f', ARGV[2] + now), ARGV[1])
redis.call('ZADD', KEYS[3], created, ARGV[1])
return created
