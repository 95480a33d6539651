-- Remove a finished batch, and note that its objects are to be removed. From now on nothing begins it again.
--
-- KEYS: 1 batch hash   2 finished batches by time   3 its owner's batches   4 set of batches whose objects are to be removed
--       5... what else is kept of it
-- ARGV: 1 batch id   2 id of the step that it was read after
-- Returns 1, or 0 when another step came first.

if (redis.call('HGET', KEYS[1], 'step') or '') ~= ARGV[2] or redis.call('ZREM', KEYS[2], ARGV[1]) == 0 then
  return 0
end
redis.call('SADD', KEYS[4], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('DEL', KEYS[1], unpack(KEYS, 5))
return 1
