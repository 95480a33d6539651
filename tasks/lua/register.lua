-- Put an adapter into the catalogue, unless its name is taken or its owner has too many.
--
-- KEYS: entry, names of all entries, names of the owner's entries
-- ARGV: 1 name   2 the entry as JSON   3 most entries of an owner
-- Returns 'ok', 'taken' or 'full'. A client that lost the answer may ask again.

local known = redis.call('GET', KEYS[1])
if known == ARGV[2] then
  return 'ok'
elseif known then
  return 'taken'
elseif redis.call('SCARD', KEYS[3]) >= tonumber(ARGV[3]) then
  return 'full'
end
redis.call('SET', KEYS[1], ARGV[2])
redis.call('ZADD', KEYS[2], 0, ARGV[1])
redis.call('SADD', KEYS[3], ARGV[1])
return 'ok'
