-- What the scripts have in common; it comes before each of them.
--
-- KEYS: pairs, of a tag's generation and its shard's hold-offs.
-- ARGV[1]: the time in microseconds; if empty, the server's own counts.
-- ARGV[2]: microseconds for which a shard settles whose hold-offs were lost.
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local settle = tonumber(ARGV[2])
local longest_life = 100000000000000  -- milliseconds; a server refuses more
local most_held = 250000  -- hold-offs of a shard
local damage = 7200000000  -- microseconds: twice LONGEST_HOLD_OFF of _coherence.py

local function is_held(moment)
  return moment > now and moment - now <= damage
end

local function word(moment, settling)
  return moment * 2 + (settling and 1 or 0)
end

-- Returns the reply to a command; false if the key has another type. Others can write to
-- the server.
local function attempt(...)
  local reply = redis.pcall(...)
  if type(reply) ~= 'table' then
    return reply
  end
  if not string.find(reply.err, 'WRONGTYPE', 1, true) then
    redis.call(...)  -- fails again, and says why
  end
  return false
end

-- Makes the hold-offs of a shard anew, which are lost. Then all its tags settle.
local function renew(shard)
  redis.call('UNLINK', shard)
  redis.call('ZADD', shard, '+inf', 'kept', word(now + settle, true), 'all')
  redis.call('PEXPIRE', shard, 86400000)
end

-- The same if there are more than we can have put there: to remove those that are over
-- would keep the server busy.
local function require_shard(shard)
  local count = attempt('ZCARD', shard)
  if not count or count == 0 or count > most_held then
    renew(shard)
  end
end

-- Returns until when a tag without a generation is held, and whether it settles.
local function remembered(key, shard)
  require_shard(shard)
  local latest, settling = 0, true
  for _, member in ipairs({key, 'all'}) do
    local score = tonumber(redis.call('ZSCORE', shard, member) or 0)
    local moment = math.floor(score / 2)
    if is_held(moment) then
      latest = math.max(latest, moment)
      settling = settling and score % 2 == 1
    end
  end
  return latest, settling
end

-- Returns a tag's generation, its hold-off and whether it settles. The generation is
-- false if there is none.
local function find(key, shard)
  local value = attempt('GETRANGE', key, 0, 16)  -- it may be as large as they like
  if value and #value == 16 then
    local held = struct.unpack('<I8', value, 9)
    return string.sub(value, 1, 8), math.floor(held / 2), held % 2 == 1
  end
  if value ~= '' then
    redis.call('UNLINK', key)  -- else SET frees it, and the server waits for that
  end
  return false, remembered(key, shard)
end

-- Returns for how many milliseconds a generation is to live: as long as it does, and at
-- least as long as the argument says.
local function life_of(key, least)
  return math.min(longest_life, math.max(least, redis.call('PTTL', key)))
end

local none = string.rep('\0', 8)

local function ending(moment, settling)
  return struct.pack('<I8', word(moment, settling))
end

local function state(generation, moment, settling)
  return generation .. ending(moment, settling)
end

-- Returns a tag's state. Without a generation it gets a fresh one, which lives so long.
local function look(key, shard, fresh, life)
  local generation, moment, settling = find(key, shard)
  local found = state(generation or fresh, moment, settling)
  if not generation then
    redis.call('SET', key, found, 'PX', life)
  end
  return found
end

-- Lets a shard know until when a tag is held.
local function remember(key, shard, moment, settling)
  if is_held(moment) then
    local held = word(moment, settling)
    local added = attempt('ZADD', shard, '+inf', 'kept', held, key)
    if not added or added == 2 then  -- nothing was there, not even what is always kept
      renew(shard)
      redis.call('ZADD', shard, held, key)
    end
  end
end
