-- Record a new batch and take its file, unless it is there already, or its idempotency key has a batch.
--
-- KEYS: 1 batch hash   2 set of batches that are not at an end   3 its owner's batches   4 notes of objects
--       5 hash of its idempotency key; without one the batch hash
-- ARGV: 1 batch id   2 key of its file in storage   3 digest of the request   4 seconds that an idempotency key is kept
--       5 first part of a batch's key   6 most batches of its owner that are not at an end   7... fields and values
-- Returns what came of it and the id of the batch: 'created', 'known' (sent before), 'conflict' (the idempotency key, or
-- the file, belongs to another request), 'full' or 'gone' (the file is removed). A client that lost the answer may ask again.

local function answer(first, digest)
  return {digest == ARGV[3] and 'known' or 'conflict', first}
end

local request = redis.call('HGET', KEYS[1], 'request')
if request then
  return answer(ARGV[1], request)
end
if KEYS[5] ~= KEYS[1] then
  local first, digest = unpack(redis.call('HMGET', KEYS[5], 'id', 'digest'))
  if first and redis.call('EXISTS', ARGV[5] .. first) == 1 then
    return answer(first, digest)
  end
end
if redis.call('ZINTERCARD', 2, KEYS[3], KEYS[2]) >= tonumber(ARGV[6]) then
  return {'full', ARGV[1]}
end
if redis.call('ZREM', KEYS[4], ARGV[2]) == 0 then
  return {'gone', ARGV[1]}
end

local time = redis.call('TIME')
local created = string.format('%.6f', time[1] + time[2] / 1e6)
redis.call('HSET', KEYS[1], 'status', 'validating', 'input', ARGV[2], 'request', ARGV[3], 'created_at', created)
redis.call('HSET', KEYS[1], unpack(ARGV, 7))
redis.call('SADD', KEYS[2], ARGV[1])
redis.call('ZADD', KEYS[3], created, ARGV[1])
if KEYS[5] ~= KEYS[1] then
  redis.call('HSET', KEYS[5], 'id', ARGV[1], 'digest', ARGV[3])
  redis.call('EXPIRE', KEYS[5], ARGV[4])
end
return {'created', ARGV[1]}
