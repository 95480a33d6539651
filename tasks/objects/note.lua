-- Note an object, or change when it may be removed.
--
-- KEYS: notes
-- ARGV: 1 object key   2 seconds from now until it may be removed   3 'any', or 'noted': only if it is noted still

local due = string.format('%.6f', redis.call('TIME')[1] + ARGV[2])
if ARGV[3] == 'noted' then
  redis.call('ZADD', KEYS[1], 'XX', due, ARGV[1])
else
  redis.call('ZADD', KEYS[1], due, ARGV[1])
end
