-- Put jobs of a batch that have no record any more among those that have ended, so that the batch does not wait for them.
--
-- KEYS: list of the batch's jobs that have ended, set of its jobs
-- ARGV: 1 first part of a job's key   2... ids of jobs

for i = 2, #ARGV do
  local waited_for = redis.call('SISMEMBER', KEYS[2], ARGV[i]) == 1 and redis.call('EXISTS', ARGV[1] .. ARGV[i]) == 0
  if waited_for and not redis.call('LPOS', KEYS[1], ARGV[i]) then
    redis.call('RPUSH', KEYS[1], ARGV[i])
  end
end
