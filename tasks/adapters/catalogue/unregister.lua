-- Remove an entry of the catalogue and note its file, unless another entry has its name by now.
--
-- KEYS: 1 entry   2 names of all entries   3 names of the owner's entries   4 pinned entries   5 notes of objects
--       6 hash of the bytes of the owner's files
-- ARGV: 1 name   2 id of the entry   3 key of its file in storage, or empty   4 seconds for which the file is kept

local known = redis.call('GET', KEYS[1])
if not known or cjson.decode(known).id ~= ARGV[2] then
  return
end
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('SREM', KEYS[3], ARGV[1])
redis.call('HDEL', KEYS[4], ARGV[1])
if ARGV[3] ~= '' then
  redis.call('HDEL', KEYS[6], ARGV[3])
  redis.call('ZADD', KEYS[5], string.format('%.6f', redis.call('TIME')[1] + ARGV[4]), ARGV[3])
end
