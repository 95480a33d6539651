-- Let an object be removed now, unless something has taken it. One that was removed already may have been written since.
--
-- KEYS: 1 notes   2 objects that are being removed   3 objects that were removed
-- ARGV: object key

local taken = not redis.call('ZSCORE', KEYS[1], ARGV[1])
  and redis.call('SISMEMBER', KEYS[2], ARGV[1]) == 0
  and not redis.call('ZSCORE', KEYS[3], ARGV[1])
if not taken then
  redis.call('ZADD', KEYS[1], redis.call('TIME')[1], ARGV[1])
end
