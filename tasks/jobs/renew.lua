-- Keep a lease alive and note how far its job is, unless another claim owns the job.
--
-- KEYS: job hash, leases set
-- ARGV: 1 job id   2 fencing token   3 lease in seconds   4... further fields and values
-- Returns 1, or 0 when the lease is lost.

local status, attempt, claim = unpack(redis.call('HMGET', KEYS[1], 'status', 'attempt', 'claim'))
if status ~= 'running' or attempt .. '-' .. (claim or '') ~= ARGV[2] then
  return 0
end
local time = redis.call('TIME')
redis.call('ZADD', KEYS[2], string.format('%.6f', time[1] + time[2] / 1e6 + ARGV[3]), ARGV[1])
for i = 4, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
end
return 1
