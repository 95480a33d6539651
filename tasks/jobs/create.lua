-- Record a new job as queued, and an interactive one as unsent, unless its idempotency key has a job already.
--
-- KEYS: job hash, waiting set of its base model, unsent set, deadlines set, list of its owner's jobs, groups of its base
--       model's backfill lane, hash of its idempotency key, and for a line of a batch: hash of the batch's cursors, set of
--       the batch's jobs; then the lane of an interactive job: lines, ends, weights, the line of its owner;
--       then the batch of a line. In the place of what a job has not stands the job hash.
-- ARGV: 1 job id   2 first part of the score in the waiting set   3 seconds until it must have begun, or ''
--       4 digest of the request, or '' without an idempotency key   5 seconds that an idempotency key is kept
--       6 its group in the backfill lane, or ''    7 group of the batch's plan, or ''
--       8 place of the line in the plan   9 place of the line behind it   10 weight of the owner
--       11 key of the batch's plan, or ''          12... fields and values
-- Returns the time of creation in seconds since 1970, as text; or, of the key's first job, its id and the digest of its
-- request; or false, when the line is not the next one of its group, or its plan is not that of a running batch.
-- A client that lost the answer may ask again.

local before = redis.call('HGET', KEYS[1], 'created_at')
if before then
  return before
end

if ARGV[7] ~= '' then
  local plan, status = unpack(redis.call('HMGET', KEYS[14], 'plan', 'status'))
  if plan ~= ARGV[11] or status ~= 'running' then
    return false
  end
  local first, place = unpack(redis.call('HMGET', KEYS[8], 'first', ARGV[7]))
  if tonumber(ARGV[7]) < tonumber(first or 0) or (place or ARGV[8]) ~= ARGV[8] then
    return false
  end
  redis.call('HSET', KEYS[8], ARGV[7], ARGV[9])
  redis.call('SADD', KEYS[9], ARGV[1])
end

if ARGV[4] ~= '' then
  local first, digest, job = unpack(redis.call('HMGET', KEYS[7], 'id', 'digest', 'job'))
  if first and redis.call('EXISTS', job) == 1 then
    return {first, digest}
  end
  redis.call('HSET', KEYS[7], 'id', ARGV[1], 'digest', ARGV[4], 'job', KEYS[1])
  redis.call('EXPIRE', KEYS[7], ARGV[5])
end

local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
local created = string.format('%.6f', now)
local member = created .. ':' .. ARGV[1]

redis.call('HSET', KEYS[1], 'status', 'queued', 'attempt', 0, 'created_at', created, 'weight', ARGV[10], unpack(ARGV, 12))
local due = string.format('%.6f', ARGV[2] + now)
redis.call('ZADD', KEYS[2], due, ARGV[1])
if ARGV[6] ~= '' then
  redis.call('HSET', KEYS[1], 'group', ARGV[6])
  redis.call('ZADD', ARGV[6], due, ARGV[1])
  redis.call('ZADD', KEYS[6], 'NX', due, ARGV[6])
else
  redis.call('ZADD', KEYS[3], created, ARGV[1])
  local lane = {lines = KEYS[10], ends = KEYS[11], weights = KEYS[12], line = KEYS[13]}
  join_lane(lane, ARGV[1], due, ARGV[10])
end
if ARGV[3] ~= '' then
  redis.call('ZADD', KEYS[4], string.format('%.6f', now + ARGV[3]), ARGV[1])
end
redis.call('ZADD', KEYS[5], 0, member)
redis.call('ZADD', KEYS[5] .. ':queued', 0, member)
return created
