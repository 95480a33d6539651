-- Put an adapter into the catalogue, unless its name is taken or its owner has too many, and take its file.
--
-- KEYS: 1 entry   2 names of all entries   3 names of the owner's entries   4 notes of objects
--       5 hash of the bytes of the owner's files   6 the open upload by which the file came, if it came by one
-- ARGV: 1 name   2 the entry as JSON   3 most entries of an owner   4 key of its file in storage, or empty
--       5 bytes of this file   6 most bytes of all files of the owner
-- Returns 'ok', 'taken', 'full', 'large' (the files have too many bytes), 'gone' (its file is removed) or 'used' (the
-- upload was registered before).
-- A client that lost the answer may ask again.

local function stored()
  local sum = 0
  for _, bytes in ipairs(redis.call('HVALS', KEYS[5])) do
    sum = sum + bytes
  end
  return sum
end

local known = redis.call('GET', KEYS[1])
if known == ARGV[2] then
  return 'ok'
elseif known then
  return 'taken'
elseif redis.call('SCARD', KEYS[3]) >= tonumber(ARGV[3]) then
  return 'full'
elseif ARGV[4] ~= '' and stored() + ARGV[5] > tonumber(ARGV[6]) then
  return 'large'
elseif KEYS[6] and redis.call('EXISTS', KEYS[6]) == 0 then
  return 'used'
elseif ARGV[4] ~= '' and redis.call('ZREM', KEYS[4], ARGV[4]) == 0 then
  return 'gone'
end
if KEYS[6] then
  redis.call('DEL', KEYS[6])
end
if ARGV[4] ~= '' then
  redis.call('HSET', KEYS[5], ARGV[4], ARGV[5])
end
redis.call('SET', KEYS[1], ARGV[2])
redis.call('ZADD', KEYS[2], 0, ARGV[1])
redis.call('SADD', KEYS[3], ARGV[1])
return 'ok'
