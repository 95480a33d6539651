-- Take a record out of an index that trips over it, and note where it stood.
--
-- KEYS: index (a set or a sorted set), hash of what was quarantined
-- ARGV: 1 member   2 name of the note   3 why
-- Nothing happens where the index has it no more.

local score
if redis.call('TYPE', KEYS[1]).ok == 'zset' then
  score = redis.call('ZSCORE', KEYS[1], ARGV[1])
  redis.call('ZREM', KEYS[1], ARGV[1])
elseif redis.call('SREM', KEYS[1], ARGV[1]) == 1 then
  score = ''
end
if score then
  local note = {index = KEYS[1], member = ARGV[1], score = score, at = redis.call('TIME')[1], reason = ARGV[3]}
  redis.call('HSET', KEYS[2], ARGV[2], cjson.encode(note))
end
