-- Remove a finished job and everything that indexes it, the job itself after a while. Nothing happens if that is done.
--
-- KEYS: job hash, finished set, list of its owner's jobs
-- ARGV: 1 job id   2 seconds until the job itself is removed

local status, created = unpack(redis.call('HMGET', KEYS[1], 'status', 'created_at'))
if redis.call('ZREM', KEYS[2], ARGV[1]) == 1 and status then
  local member = created .. ':' .. ARGV[1]
  redis.call('ZREM', KEYS[3], member)
  redis.call('ZREM', KEYS[3] .. ':' .. status, member)
  redis.call('EXPIRE', KEYS[1], ARGV[2])
end
