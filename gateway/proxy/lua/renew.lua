-- Renews the leases of calls in progress, and takes them anew where they were lost. Safe to repeat.
--
-- KEYS  of each lease: the limit's calls (a sorted set), its numbers (a hash).
-- ARGV  'once' or 'again', which is the same here; lease in µs; the time in µs, or '' for this server's
--       clock; then of each lease: member, amount, start of the window in which the call began, or '' for calls at the
--       same time.
local FIXED, EACH = 3, 3
local lease, now = tonumber(ARGV[2]), tonumber(ARGV[3])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end

local function live(key, milliseconds)
  if redis.call('PTTL', key) < milliseconds then
    redis.call('PEXPIRE', key, milliseconds)
  end
end

for i = 1, #KEYS / 2 do
  local calls, numbers, at = KEYS[2 * i - 1], KEYS[2 * i], FIXED + (i - 1) * EACH
  local member, amount, start = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  if start == '' or redis.call('HGET', numbers, 'start') == start then
    if redis.call('EXISTS', calls) == 0 then
      redis.call('HDEL', numbers, 'reserved')
    end
    if redis.call('ZADD', calls, now + lease, member) == 1 then
      redis.call('HINCRBY', numbers, 'reserved', amount)
    end
    live(calls, lease / 1000 + 1000)
    live(numbers, lease / 1000 + 2000)
  end
end
