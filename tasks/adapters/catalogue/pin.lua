-- Pin an entry of the catalogue, if the pinned ones then take no more than they may; or unpin it.
--
-- KEYS: 1 entry   2 pinned entries of its base model, with their bytes
-- ARGV: 1 name   2 id of the entry   3 the changed entry as JSON   4 its bytes, or empty to unpin it   5 most bytes
-- Returns 'ok', 'gone' (another entry or none has its name by now), or the bytes that there would be.

local known = redis.call('GET', KEYS[1])
if not known or cjson.decode(known).id ~= ARGV[2] then
  return 'gone'
end
if ARGV[4] == '' then
  redis.call('HDEL', KEYS[2], ARGV[1])
else
  local total = tonumber(ARGV[4])
  local pinned = redis.call('HGETALL', KEYS[2])
  for i = 1, #pinned, 2 do
    if pinned[i] ~= ARGV[1] then
      total = total + pinned[i + 1]
    end
  end
  if total > tonumber(ARGV[5]) then
    return string.format('%.0f', total)
  end
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[4])
end
redis.call('SET', KEYS[1], ARGV[3])
return 'ok'
