-- Note that the message of a queued job is sent.
--
-- A worker may have claimed the job and given it back before this note arrives; its message is then another one, which
-- may be unsent. The fencing token tells the two apart.
--
-- KEYS: job hash, unsent set
-- ARGV: 1 job id   2 fencing token at the time of sending

if redis.call('HGET', KEYS[1], 'attempt') == ARGV[2] then
  redis.call('ZREM', KEYS[2], ARGV[1])
end
