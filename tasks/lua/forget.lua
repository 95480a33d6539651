-- Remove a finished job and everything that indexes it. Nothing happens if that is done already.
--
-- KEYS: job hash, finished set, list of its owner's jobs
-- ARGV: 1 job id

local status, created = unpack(redis.call('HMGET', KEYS[1], 'status', 'created_at'))
if redis.call('ZREM', KEYS[2], ARGV[1]) == 1 and status then
  local member = created .. ':' .. ARGV[1]
  redis.call('ZREM', KEYS[3], member)
  redis.call('ZREM', KEYS[3] .. ':' .. status, member)
  redis.call('DEL', KEYS[1])
end
