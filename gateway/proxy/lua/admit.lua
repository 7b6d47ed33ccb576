-- Admits one call under all of its limits, or under none.
--
-- KEYS  of each limit: its calls (a sorted set), its numbers (a hash).
-- ARGV  'once', or 'again' if this may have run before; lease in µs; 1 to look only and reserve nothing, else 0; the time
--       in µs, or '' for this server's clock; call; then of each limit its amount; then of each limit: shape, is_hard
--       (1 or 0), value, start and end of its window in µs, used, as of (µs).
--
-- A call is the member "<call>:<amount>"; its score is the µs in which it leaves: a minute after it came, or, under
-- limits of other shapes, when nobody has renewed its lease. `reserved` is the sum of all members' amounts, `settled`
-- what was used in this day or month by calls that have ended. Sums are made by HINCRBY, in 64 bits; only
-- comparisons go through Lua's numbers, which are exact up to 2^53.
--
-- Answers {'window', now} if a day or month begins that the caller did not name: it asks again with that one. Else
-- {'admitted' or 'refused', now} and of each limit: settled, reserved, wait in µs (-1: waiting never helps), µs until
-- its oldest call leaves, start of its window.
local MINUTE, FIXED, EACH, PAGE = 60000000, 5, 7, 100
local lease, is_look, now, call = tonumber(ARGV[2]), ARGV[3] == '1', tonumber(ARGV[4]), ARGV[5]
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end

local limits = {}
local count = #KEYS / 2
for i = 1, count do
  local amount, at = ARGV[FIXED + i], FIXED + count + (i - 1) * EACH
  limits[i] = {
    calls = KEYS[2 * i - 1], numbers = KEYS[2 * i], member = call .. ':' .. amount, amount = amount,
    shape = ARGV[at + 1], is_hard = ARGV[at + 2] == '1', value = tonumber(ARGV[at + 3]),
    start = ARGV[at + 4], finish = ARGV[at + 5], used = ARGV[at + 6], as_of = tonumber(ARGV[at + 7]),
  }
end

-- Only ever to a later time: leases may differ between gateways.
local function live(key, microseconds)
  local milliseconds = math.ceil(microseconds / 1000) + 1000
  if redis.call('PTTL', key) < milliseconds then
    redis.call('PEXPIRE', key, milliseconds)
  end
end

local function amount_of(member)
  return string.match(member, ':(%d+)$')
end

-- First only look: nothing may be written before every window is known.
for _, limit in ipairs(limits) do
  if limit.shape == 'calendar' then
    local known = redis.call('HMGET', limit.numbers, 'settled', 'reserved', 'start', 'finish', 'as_of')
    if known[4] and now < tonumber(known[4]) then
      limit.settled, limit.reserved, limit.start, limit.finish = known[1] or '0', known[2] or '0', known[3], known[4]
      limit.seeded_as_of = tonumber(known[5])
    elseif now < tonumber(limit.start) or now >= tonumber(limit.finish) then
      return {'window', now}
    else
      limit.begins, limit.settled, limit.reserved, limit.seeded_as_of = true, '0', '0', -1
    end
  else
    limit.settled, limit.reserved = '0', redis.call('HGET', limit.numbers, 'reserved') or '0'
  end
end

for _, limit in ipairs(limits) do
  if limit.begins then
    redis.call('DEL', limit.calls, limit.numbers)
    redis.call('HSET', limit.numbers, 'start', limit.start, 'finish', limit.finish, 'settled', '0', 'as_of', '-1')
    live(limit.numbers, limit.finish - now)
  end
  if limit.as_of and limit.as_of >= tonumber(limit.start) and limit.as_of < tonumber(limit.finish) then
    if limit.as_of > limit.seeded_as_of then
      redis.call('HSET', limit.numbers, 'as_of', limit.as_of)
      if tonumber(limit.used) > tonumber(limit.settled) then
        redis.call('HSET', limit.numbers, 'settled', limit.used)
        limit.settled = limit.used
      end
    end
  end
  limit.oldest = redis.call('ZRANGE', limit.calls, 0, 0, 'WITHSCORES')[2]
  if limit.oldest and tonumber(limit.oldest) <= now then
    for _, member in ipairs(redis.call('ZRANGEBYSCORE', limit.calls, '-inf', now)) do
      local amount = amount_of(member)
      if amount ~= '0' then
        limit.reserved = redis.call('HINCRBY', limit.numbers, 'reserved', '-' .. amount)
      end
    end
    redis.call('ZREMRANGEBYSCORE', limit.calls, '-inf', now)
    limit.oldest = redis.call('ZRANGE', limit.calls, 0, 0, 'WITHSCORES')[2]
  end
  if not limit.oldest and limit.reserved ~= '0' then
    redis.call('HDEL', limit.numbers, 'reserved')
    limit.reserved = '0'
  end
end

local function wait(limit)
  if tonumber(limit.amount) > limit.value then
    return -1
  end
  local excess = limit.settled + limit.reserved + limit.amount - limit.value
  if excess <= 0 then
    return 0
  elseif limit.shape == 'now' then
    return 1000000 -- nobody knows; a second is a polite guess
  elseif limit.shape == 'calendar' then
    return limit.finish - now
  end
  for first = 0, redis.call('ZCARD', limit.calls), PAGE do
    local page = redis.call('ZRANGE', limit.calls, first, first + PAGE - 1, 'WITHSCORES')
    for i = 1, #page, 2 do
      excess = excess - amount_of(page[i])
      if excess <= 0 then
        return page[i + 1] - now
      end
    end
  end
  return MINUTE
end

local is_held = ARGV[1] == 'again' and redis.call('ZSCORE', limits[1].calls, limits[1].member)
local is_refused = false
for _, limit in ipairs(limits) do
  limit.wait = is_held and 0 or wait(limit)
  is_refused = is_refused or (limit.is_hard and limit.wait ~= 0)
end

local answer = {is_refused and 'refused' or 'admitted', now}
for _, limit in ipairs(limits) do
  if not is_refused and not is_held and not is_look then
    local stays = limit.shape == 'minute' and MINUTE or lease
    redis.call('ZADD', limit.calls, now + stays, limit.member)
    limit.reserved = redis.call('HINCRBY', limit.numbers, 'reserved', limit.amount)
    limit.oldest = limit.oldest or now + stays
    if limit.shape == 'minute' then
      -- Always later than what the call before set.
      redis.call('PEXPIRE', limit.calls, MINUTE / 1000 + 1000)
      redis.call('PEXPIRE', limit.numbers, MINUTE / 1000 + 2000)
    else
      live(limit.calls, stays)
      live(limit.numbers, stays + 1000000)
    end
  end
  local leaves = limit.shape == 'minute' and limit.oldest and limit.oldest - now or 0
  for _, fact in ipairs({limit.settled, limit.reserved, limit.wait, leaves, limit.start}) do
    answer[#answer + 1] = fact
  end
end
return answer
