-- Note an object, or change when it may be removed.
--
-- KEYS: notes
-- ARGV: 1 object key   2 seconds from now until it may be removed

redis.call('ZADD', KEYS[1], string.format('%.6f', redis.call('TIME')[1] + ARGV[2]), ARGV[1])
