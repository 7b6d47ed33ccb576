-- Replaces what one call reserved by what it used. Safe to repeat with 'again'.
--
-- KEYS  of each limit: its calls (a sorted set), its numbers (a hash).
-- ARGV  'once', or 'again' if this may have run before; call; what was used, in tokens and in nano-units; then of each
--       limit its amount; then of each limit the start of the window in which the call began; then of each limit: shape,
--       'tokens' or 'nano'.
--
-- A call whose lease has run out is counted all the same, unless it may have been counted before.
local FIXED = 4
local is_first, call = ARGV[1] == 'once', ARGV[2]
local count, used = #KEYS / 2, {tokens = ARGV[3], nano = ARGV[4]}

for i = 1, count do
  local calls, numbers, at = KEYS[2 * i - 1], KEYS[2 * i], FIXED + 2 * count + 2 * i
  local amount, start = ARGV[FIXED + i], ARGV[FIXED + count + i]
  local shape, truth = ARGV[at - 1], used[ARGV[at]]
  local member = call .. ':' .. amount

  if shape == 'minute' then
    local leaves = redis.call('ZSCORE', calls, member)
    if leaves and truth ~= amount then
      redis.call('ZADD', calls, leaves, call .. ':' .. truth) -- first, so that the key keeps its expiry
      redis.call('ZREM', calls, member)
      redis.call('HINCRBY', numbers, 'reserved', string.format('%.0f', truth - amount))
    end
  elseif shape == 'now' or redis.call('HGET', numbers, 'start') == start then
    local was_held = redis.call('ZREM', calls, member) == 1
    if was_held and amount ~= '0' then
      redis.call('HINCRBY', numbers, 'reserved', '-' .. amount)
    end
    if shape == 'calendar' and (was_held or is_first) then
      redis.call('HINCRBY', numbers, 'settled', truth)
    end
  end
end
