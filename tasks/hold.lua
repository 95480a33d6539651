-- Let a key hold one more of something, unless it holds as many, or as much, as it may.
--
-- What is held is given back by its holder, and forgotten at its time if the holder died.
--
-- KEYS: 1 what is held, by the time at which it is forgotten   2 hash of how much each of it takes
--       3 hash of how much is taken besides
-- ARGV: 1 id of what is to be held   2 seconds after which it is forgotten   3 most of them   4 how much it takes
--       5 most of that   6 first part of keys that exist for as long as something is held, or empty
-- Returns 'ok', 'many' or 'much'. A client that lost the answer may ask again.

local now = tonumber(redis.call('TIME')[1])

local function total(hash)
  local sum = 0
  for _, amount in ipairs(redis.call('HVALS', hash)) do
    sum = sum + amount
  end
  return sum
end

local held = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for i = 1, #held, 2 do
  local gone = ARGV[6] ~= '' and redis.call('EXISTS', ARGV[6] .. held[i]) == 0
  if gone or tonumber(held[i + 1]) <= now then
    redis.call('ZREM', KEYS[1], held[i])
    redis.call('HDEL', KEYS[2], held[i])
  end
end
if redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  return 'ok'
elseif redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3]) then
  return 'many'
elseif ARGV[4] + total(KEYS[2]) + total(KEYS[3]) > tonumber(ARGV[5]) then
  return 'much'
end
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[4])
redis.call('EXPIRE', KEYS[1], ARGV[2])
redis.call('EXPIRE', KEYS[2], ARGV[2])
return 'ok'
