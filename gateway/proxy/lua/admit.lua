-- Admits one call under all of its limits, or under none.
--
-- KEYS  of each limit: its calls (a sorted set), its numbers (a hash).
-- ARGV  'once', or 'again' if this may have run before; 1 to look only and reserve nothing, else 0; lease in µs; the time in µs, or '' for this server's clock;
--       call; then of each limit: shape, is_hard (1 or 0), amount, value, start and end of its window in µs, used, as of (µs).
--
-- A call is the member "<call>:<amount>"; its score is the µs in which it leaves: a minute after it came, or, under
-- limits of other shapes, when nobody has renewed its lease. `reserved` is the sum of all members' amounts, `settled`
-- what was used in this day or month by calls that have ended. Sums are made by HINCRBY, in 64 bits; only
-- comparisons go through Lua's numbers, which are exact up to 2^53.
--
-- Answers {'window', now} if a day or month begins that the caller did not name: it asks again with that one. Else
-- {'admitted' or 'refused', now} and of each limit: settled, reserved, wait in µs (-1: waiting never helps), µs until
-- its oldest call leaves, start of its window.
local MINUTE, FIXED, EACH, PAGE = 60000000, 5, 8, 100
local is_look, lease, now, call = ARGV[2] == '1', tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end

local limits = {}
for i = 1, #KEYS / 2 do
  local at = FIXED + (i - 1) * EACH
  limits[i] = {
    calls = KEYS[2 * i - 1], numbers = KEYS[2 * i], member = call .. ':' .. ARGV[at + 3],
    shape = ARGV[at + 1], is_hard = ARGV[at + 2] == '1', amount = ARGV[at + 3], value = tonumber(ARGV[at + 4]),
    start = ARGV[at + 5], finish = ARGV[at + 6], used = ARGV[at + 7], as_of = tonumber(ARGV[at + 8]),
  }
end

local function live(key, microseconds)
  local milliseconds = math.ceil(microseconds / 1000) + 1000
  if redis.call('PTTL', key) < milliseconds then
    redis.call('PEXPIRE', key, milliseconds)
  end
end

local function amount_of(member)
  return string.match(member, ':(%d+)$')
end

local function subtract(key, amount)
  if amount ~= '0' then
    redis.call('HINCRBY', key, 'reserved', '-' .. amount)
  end
end

local function counted(limit)
  local numbers = redis.call('HMGET', limit.numbers, 'settled', 'reserved')
  return numbers[1] or '0', numbers[2] or '0'
end

-- First only look: nothing may be written before every window is known.
for _, limit in ipairs(limits) do
  if limit.shape == 'calendar' then
    local window = redis.call('HMGET', limit.numbers, 'start', 'finish')
    if window[2] and now < tonumber(window[2]) then
      limit.start, limit.finish = window[1], window[2]
    elseif now < tonumber(limit.start) or now >= tonumber(limit.finish) then
      return {'window', now}
    else
      limit.begins = true
    end
  end
end

for _, limit in ipairs(limits) do
  if limit.begins then
    redis.call('DEL', limit.calls, limit.numbers)
    redis.call('HSET', limit.numbers, 'start', limit.start, 'finish', limit.finish, 'settled', '0', 'as_of', '-1')
    live(limit.numbers, limit.finish - now)
  end
  if limit.as_of and limit.as_of >= tonumber(limit.start) and limit.as_of < tonumber(limit.finish) then
    local known = redis.call('HMGET', limit.numbers, 'as_of', 'settled')
    if limit.as_of > tonumber(known[1]) then
      redis.call('HSET', limit.numbers, 'as_of', limit.as_of)
      if tonumber(limit.used) > tonumber(known[2]) then
        redis.call('HSET', limit.numbers, 'settled', limit.used)
      end
    end
  end
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', limit.calls, '-inf', now)) do
    subtract(limit.numbers, amount_of(member))
  end
  redis.call('ZREMRANGEBYSCORE', limit.calls, '-inf', now)
  if redis.call('EXISTS', limit.calls) == 0 then
    redis.call('HDEL', limit.numbers, 'reserved')
  end
end

local function wait(limit)
  local settled, reserved = counted(limit)
  if tonumber(limit.amount) > limit.value then
    return -1
  end
  local excess = settled + reserved + limit.amount - limit.value
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
    redis.call('HINCRBY', limit.numbers, 'reserved', limit.amount)
    live(limit.calls, stays)
    live(limit.numbers, stays + 1000000)
  end
  local oldest = limit.shape == 'minute' and redis.call('ZRANGE', limit.calls, 0, 0, 'WITHSCORES')[2]
  local settled, reserved = counted(limit)
  for _, fact in ipairs({settled, reserved, limit.wait, oldest and oldest - now or 0, limit.start}) do
    answer[#answer + 1] = fact
  end
end
return answer
