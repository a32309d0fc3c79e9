/**
 * One exchange (`ShareRequest`, `ShareAnswer`) as Redis and Valkey run it: whole or not at all, on their own clock. The
 * same is done in memory by policies/limits/limits-ledger.ts; a test compares the two.
 *
 * KEYS[1] is a hash of one tenant. Its fields `1`, `2`, `3` are what is used up of the limits per minute, and when that
 * was true (milliseconds); those that begin with `@` are the requests in flight that a process holds, and until when.
 * A time that is still to come was written before the clock was put back, or by another server: nothing has drained since
 * then, and nobody is held a place until then.
 *
 * ARGV: id of the process; milliseconds for which its requests in flight are held; how many may be held (-1: any number);
 * how many it wants; then for each limit per minute: the limit (-1: none), what is charged, what is wanted.
 */
export const shareScript = `
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local fields = redis.call('HGETALL', KEYS[1])
local known = {}
for i = 1, #fields, 2 do known[fields[i]] = fields[i + 1] end

local answer = {}
local longest = 0
for i = 1, 3 do
  local limit = tonumber(ARGV[2 + 3 * i])
  local charge = tonumber(ARGV[3 + 3 * i])
  local want = tonumber(ARGV[4 + 3 * i])
  local granted, level = want, 0
  if limit > 0 then
    local before = known[tostring(i)]
    if before then
      local used, at = string.match(before, '^(%S+) (%S+)$')
      level = math.max(0, tonumber(used) - math.max(0, now - tonumber(at)) * limit / 60000)
    end
    level = math.max(0, level + charge)
    granted = math.min(want, math.floor(math.max(0, limit - level) + 0.000001))
    level = level + granted
    longest = math.max(longest, level * 60000 / limit)
    redis.call('HSET', KEYS[1], i, string.format('%.6f %.3f', level, now))
  end
  answer[2 * i - 1] = string.format('%.6f', granted)
  answer[2 * i] = string.format('%.6f', level)
end

local others = 0
local own = '@' .. ARGV[1]
for field, value in pairs(known) do
  if string.sub(field, 1, 1) == '@' and field ~= own then
    local held, till = string.match(value, '^(%S+) (%S+)$')
    local left = tonumber(till) - now
    if left > 0 and left <= tonumber(ARGV[2]) then
      others = others + tonumber(held)
    else
      redis.call('HDEL', KEYS[1], field)
    end
  end
end
local most = tonumber(ARGV[3])
local slots = tonumber(ARGV[4])
if most >= 0 then slots = math.max(0, math.min(slots, most - others)) end
if slots > 0 then
  redis.call('HSET', KEYS[1], own, string.format('%d %.3f', slots, now + ARGV[2]))
else
  redis.call('HDEL', KEYS[1], own)
end
redis.call('PEXPIRE', KEYS[1], math.ceil(longest + ARGV[2] + 60000))
answer[7] = slots
answer[8] = others + slots
return answer
`
