-- Note that the message of a queued job is sent.
--
-- A worker may have claimed the job and given it back before this note arrives; its message is then another one, which
-- may be unsent. The fencing token tells the two apart.
--
-- KEYS: job hash, unsent set
-- ARGV: 1 job id   2 fencing token at the time of sending

local attempt, claim = unpack(redis.call('HMGET', KEYS[1], 'attempt', 'claim'))
if attempt and attempt .. '-' .. (claim or '') == ARGV[2] then
  local time = redis.call('TIME')
  redis.call('HSET', KEYS[1], 'sent_at', string.format('%.6f', time[1] + time[2] / 1e6))
  redis.call('ZREM', KEYS[2], ARGV[1])
end
