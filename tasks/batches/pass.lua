-- Note that all groups of a batch's plan before one are done; what is known of each of these is no longer needed.
--
-- KEYS: batch hash, hash of the plan's cursors
-- ARGV: 1 key of the plan   2 the group   3... groups that are done
-- Nothing happens when the batch has another plan, or runs no more.

local plan, status = unpack(redis.call('HMGET', KEYS[1], 'plan', 'status'))
if plan == ARGV[1] and status == 'running' then
  redis.call('HSET', KEYS[2], 'first', ARGV[2])
  redis.call('HDEL', KEYS[2], unpack(ARGV, 3))
end
