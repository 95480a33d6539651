-- Put an adapter into the catalogue, unless its name is taken or its owner has too many, and take its file.
--
-- KEYS: 1 entry   2 names of all entries   3 names of the owner's entries   4 notes of objects
--       5 the promise of the upload that the file came by, if it came by one
-- ARGV: 1 name   2 the entry as JSON   3 most entries of an owner   4 key of its file in storage, or empty
-- Returns 'ok', 'taken', 'full', 'gone' (its file is removed) or 'used' (the upload was registered before).
-- A client that lost the answer may ask again.

local known = redis.call('GET', KEYS[1])
if known == ARGV[2] then
  return 'ok'
elseif known then
  return 'taken'
elseif redis.call('SCARD', KEYS[3]) >= tonumber(ARGV[3]) then
  return 'full'
elseif KEYS[5] and redis.call('EXISTS', KEYS[5]) == 0 then
  return 'used'
elseif ARGV[4] ~= '' and redis.call('ZREM', KEYS[4], ARGV[4]) == 0 then
  return 'gone'
end
if KEYS[5] then
  redis.call('DEL', KEYS[5])
end
redis.call('SET', KEYS[1], ARGV[2])
redis.call('ZADD', KEYS[2], 0, ARGV[1])
redis.call('SADD', KEYS[3], ARGV[1])
return 'ok'
