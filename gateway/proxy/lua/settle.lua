-- Replaces what one call reserved by what it used. Safe to repeat with 'again'.
--
-- KEYS  of each limit: its calls (a sorted set), its numbers (a hash).
-- ARGV  'once', or 'again' if this may have run before; call; then of each limit: shape, amount, truth, start of the
--       window in which the call began.
--
-- A call whose lease has run out is counted all the same, unless it may have been counted before.
local FIXED, EACH = 2, 4
local is_first, call = ARGV[1] == 'once', ARGV[2]

for i = 1, #KEYS / 2 do
  local calls, numbers, at = KEYS[2 * i - 1], KEYS[2 * i], FIXED + (i - 1) * EACH
  local shape, amount, truth, start = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local member = call .. ':' .. amount

  local function subtract_amount()
    if amount ~= '0' then
      redis.call('HINCRBY', numbers, 'reserved', '-' .. amount)
    end
  end

  if shape == 'minute' then
    local leaves = redis.call('ZSCORE', calls, member)
    if leaves and truth ~= amount then
      redis.call('ZADD', calls, leaves, call .. ':' .. truth) -- first, so that the key keeps its expiry
      redis.call('ZREM', calls, member)
      redis.call('HINCRBY', numbers, 'reserved', truth)
      subtract_amount()
    end
  elseif shape == 'now' or redis.call('HGET', numbers, 'start') == start then
    local was_held = redis.call('ZREM', calls, member) == 1
    if was_held then
      subtract_amount()
    end
    if shape == 'calendar' and (was_held or is_first) then
      redis.call('HINCRBY', numbers, 'settled', truth)
    end
  end
end
