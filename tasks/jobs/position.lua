-- How many queued interactive jobs of a base model are drawn before one of them, if no other comes.
--
-- KEYS: lines of owners that have queued jobs, by the start of their next turns; by line the weight of its owner;
--       the line that the job is in
-- ARGV: 1 job id   2 how many owners are looked at
-- Returns the number, or false when the job is not in its line. Owners behind those that are looked at count as much as
-- these do on average.

local lines, weights, own = unpack(KEYS)

local behind = redis.call('ZRANK', own, ARGV[1])
local start = redis.call('ZSCORE', lines, own)
if not behind or not start then
  return false
end
local turn = start + behind / tonumber(redis.call('HGET', weights, own) or 1)

-- How many turns of another line start before this one.
local function turns_before(line, first)
  local weight = tonumber(redis.call('HGET', weights, line) or 1)
  local exact = (turn - first) * weight
  local turns = math.floor(exact + 0.5)
  if math.abs(exact - turns) > 1e-9 then
    turns = math.ceil(exact)
  elseif line < own then
    turns = turns + 1
  end
  return math.min(turns, redis.call('ZCARD', line))
end

local last = string.format('%.17g', turn)
local looked, before = 0, 0
local earlier = redis.call('ZRANGEBYSCORE', lines, '-inf', last, 'WITHSCORES', 'LIMIT', 0, ARGV[2] + 1)
for i = 1, #earlier, 2 do
  if earlier[i] ~= own then
    looked, before = looked + 1, before + turns_before(earlier[i], tonumber(earlier[i + 1]))
  end
end
local further = redis.call('ZCOUNT', lines, '-inf', last) - 1 - looked
if further > 0 then
  before = before + math.floor(further * math.max(1, before / looked))
end
return behind + before
