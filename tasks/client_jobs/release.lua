-- Give back what was counted for a job that could not be recorded. Nothing happens if it was recorded after all.
--
-- KEYS: queued set of the owner, what the owner has spent today, job hash
-- ARGV: 1 job id   2 pixels times steps of the job

if redis.call('EXISTS', KEYS[3]) == 0 and redis.call('ZREM', KEYS[1], ARGV[1]) == 1 then
  local day, sum = unpack(redis.call('HMGET', KEYS[2], 'day', 'sum'))
  local time = redis.call('TIME')
  if tonumber(day) == math.floor(time[1] / 86400) then
    redis.call('HSET', KEYS[2], 'sum', string.format('%.0f', math.max(0, sum - ARGV[2])))
  end
end
