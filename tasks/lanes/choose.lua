-- Which queued backfill jobs a worker should draw next. Nothing is claimed yet: another worker may be faster.
--
-- Between owners: start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996), a job being the unit, divided by its
-- owner's weight. An owner's next job has as its start the end of its last one, or the time of the lane where that is
-- later; the earliest start is due, and becomes the time of the lane. An owner that comes late or rested gains nothing by
-- it. A lane that becomes empty forgets.
-- Within an owner: a worker stays with its group, and leaves it for another owner only after QUANTUM jobs too many, so
-- that fairness costs a swap every QUANTUM jobs and not every job. A new group is one that no other worker alive is with;
-- where there is none, the one with the most jobs.
-- Within a group: the first job, and where several may be drawn at once those with the same settings among the next ones.
-- A job that may have killed a worker is drawn alone.
--
-- KEYS: groups of the base model's backfill lane, ends of the owners' last jobs ('' is the time of the lane),
--       by worker the group that it is with
-- ARGV: 1 worker   2 QUANTUM   3 start of the key that a worker alive has   4 start of the keys of groups
--       5 start of the keys of jobs   6 how many jobs at most   7... ids of jobs that this worker leaves to another
-- Returns the ids of the jobs, none when nothing is queued.

-- How far behind the first job another one is looked for.
local LOOK = 64

local groups, ends, holders = unpack(KEYS)
local worker, quantum = ARGV[1], tonumber(ARGV[2])

local function owner_of(group)
  return string.match(string.sub(group, #ARGV[4] + 1), '^(.*):[^:]*$')
end

-- What jobs must have in common to be drawn at once; false for one that is drawn alone.
local function shared_settings(id)
  local job = redis.call('HMGET', ARGV[5] .. id, 'settings', 'attempt', 'uncounted')
  return tonumber(job[2] or 0) == tonumber(job[3] or 0) and job[1]
end

local spared = {}
for i = 7, #ARGV do
  spared[ARGV[i]] = true
end

-- The first jobs of a group, and `further` ones behind the first, without those that are left to another worker.
local function first_of(group, further)
  local found = {}
  for _, id in ipairs(redis.call('ZRANGE', group, 0, #ARGV - 6 + further)) do
    if not spared[id] then
      found[#found + 1] = id
    end
  end
  return found
end

-- Let a group begin with a job that is queued. What has no record, or was taken by a version without this lane, would
-- be offered again and again otherwise, and nothing behind it would be drawn.
local function prune(group)
  local first = redis.call('ZRANGE', group, 0, 0)[1]
  while first and redis.call('HGET', ARGV[5] .. first, 'status') ~= 'queued' do
    redis.call('ZREM', group, first)
    first = redis.call('ZRANGE', group, 0, 0)[1]
  end
  if not first then
    redis.call('ZREM', groups, group)
  end
  return first ~= nil
end

local now = tonumber(redis.call('HGET', ends, '') or 0)
local starts, least, due = {}, nil, nil
local queued, is_queued = {}, {}
for _, group in ipairs(redis.call('ZRANGE', groups, 0, -1)) do
  if prune(group) and (#ARGV == 6 or #first_of(group, 0) > 0) then
    queued[#queued + 1] = group
    is_queued[group] = true
  end
end
for _, group in ipairs(queued) do
  local owner = owner_of(group)
  if not starts[owner] then
    starts[owner] = math.max(now, tonumber(redis.call('HGET', ends, 'of ' .. owner) or 0))
    if not least or starts[owner] < least then
      least, due = starts[owner], owner
    end
  end
end
if not due then
  return {}
end

local mine = redis.call('HGET', holders, worker)
local chosen = nil
if mine and is_queued[mine] and starts[owner_of(mine)] <= least + quantum then
  chosen = mine
else
  local held = {}
  local all = redis.call('HGETALL', holders)
  for i = 1, #all, 2 do
    if all[i] ~= worker then
      if redis.call('EXISTS', ARGV[3] .. all[i]) == 1 then
        held[all[i + 1]] = true
      else
        redis.call('HDEL', holders, all[i])
      end
    end
  end
  local most = -1
  for _, group in ipairs(queued) do
    if owner_of(group) == due then
      if not held[group] then
        chosen = group
        break
      end
      local size = redis.call('ZCARD', group)
      if size > most then
        chosen, most = group, size
      end
    end
  end
  redis.call('HSET', holders, worker, chosen)
end

local limit = tonumber(ARGV[6])
local ahead = first_of(chosen, limit > 1 and LOOK or 0)
local jobs = {ahead[1]}
local settings = limit > 1 and shared_settings(ahead[1])
for i = 2, settings and #ahead or 0 do
  if #jobs < limit and shared_settings(ahead[i]) == settings then
    jobs[#jobs + 1] = ahead[i]
  end
end

if #ARGV == 6 and #queued == 1 and redis.call('ZCARD', chosen) <= #jobs then
  redis.call('DEL', ends)
  return jobs
end
local owner = owner_of(chosen)
local weight = tonumber(redis.call('HGET', ARGV[5] .. jobs[1], 'weight') or 1)
local last_end = starts[owner] + #jobs / weight
redis.call('HSET', ends, '', string.format('%.17g', least), 'of ' .. owner, string.format('%.17g', last_end))
for _, name in ipairs(redis.call('HKEYS', ends)) do
  if name ~= '' and not starts[string.sub(name, 4)] and tonumber(redis.call('HGET', ends, name)) <= least then
    redis.call('HDEL', ends, name)
  end
end
return jobs
