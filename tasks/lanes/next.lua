-- Which queued interactive job is due. Nothing is claimed yet: another worker may be faster.
--
-- KEYS: of the lane: lines, ends, weights
-- ARGV: 1 start of the keys of jobs   2 names of the fields of a specification that this worker knows, each between two
--       spaces   3... ids of jobs that this worker leaves to another
-- Returns the job's id, or '' where none is for this worker; and whether jobs that are not for it were passed over.

-- How many owners, and how many jobs of each, are looked at.
local OWNERS, JOBS = 1000, 64

local spared, passed = {}, false
for i = 3, #ARGV do
  spared[ARGV[i]] = true
end

local function is_for_this_worker(id, needs)
  if spared[id] then
    return false
  end
  for name in string.gmatch(needs or '', '%S+') do
    if not string.find(ARGV[2], ' ' .. name .. ' ', 1, true) then
      return false
    end
  end
  return true
end

for _, line in ipairs(redis.call('ZRANGE', KEYS[1], 0, OWNERS - 1)) do
  for _, id in ipairs(redis.call('ZRANGE', line, 0, JOBS - 1)) do
    local status, needs = unpack(redis.call('HMGET', ARGV[1] .. id, 'status', 'needs'))
    if status ~= 'queued' then  -- a version without this lane has taken it
      leave_lane({lines = KEYS[1], ends = KEYS[2], weights = KEYS[3], line = line}, id, false)
    elseif is_for_this_worker(id, needs) then
      return {id, passed and 1 or 0}
    else
      passed = true
    end
  end
end
return {'', passed and 1 or 0}
