-- Count jobs of a batch whose results are in storage now, unless somebody has done so already.
--
-- KEYS: batch hash, list of the batch's jobs that have ended, set of its jobs, list of the parts of its results, notes of
--       objects
-- ARGV: 1 key of the part that holds them   2 how many   3 pairs of names and numbers to add, how many
--       4... these pairs, then the ids of the jobs, in the order of the list
-- Returns 1, or 0 when these are no longer the first of the list, or the part is removed.

local count, pairs_count = tonumber(ARGV[2]), tonumber(ARGV[3])
local first = 3 + 2 * pairs_count
local head = redis.call('LRANGE', KEYS[2], 0, count - 1)
for i = 1, count do
  if head[i] ~= ARGV[first + i] then
    return 0
  end
end

if redis.call('ZREM', KEYS[5], ARGV[1]) == 0 then
  return 0
end
redis.call('LTRIM', KEYS[2], count, -1)
for i = 1, count do
  redis.call('SREM', KEYS[3], ARGV[first + i])
end
redis.call('RPUSH', KEYS[4], ARGV[1])
for i = 4, first, 2 do
  redis.call('HINCRBYFLOAT', KEYS[1], ARGV[i], ARGV[i + 1])
end
return 1
