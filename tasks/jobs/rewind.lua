-- Bring times back that lie further ahead than they could when they were written: the server's clock was set back.
--
-- KEYS: an index of jobs by time
-- ARGV: 1 start of the keys of jobs   2 field of a job that says how far ahead its time may be, in seconds, or '': none
--       3 how many jobs are looked at, those furthest ahead first

local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
local ahead = redis.call('ZREVRANGEBYSCORE', KEYS[1], '+inf', string.format('(%.6f', now), 'WITHSCORES', 'LIMIT', 0, ARGV[3])
for i = 1, #ahead, 2 do
  local most = ARGV[2] ~= '' and tonumber(redis.call('HGET', ARGV[1] .. ahead[i], ARGV[2])) or 0
  if tonumber(ahead[i + 1]) > now + most then
    redis.call('ZADD', KEYS[1], string.format('%.6f', now + most), ahead[i])
  end
end
