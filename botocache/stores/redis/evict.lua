-- Evicts tags: next_state() of _coherence.py, for each of them. Looks at other tags.
-- May put an entry, if nothing has come since this write's first eviction.
--
-- KEYS: after the pairs of the tags that are evicted, those of the others; then the
-- entry's key, if there is one.
-- ARGV[3]: the hold-off in microseconds.
-- ARGV[4]: milliseconds that a generation lives at least.
-- ARGV[5]: how many tags are evicted.
-- ARGV[6]: milliseconds that a generation lives which another tag lacked.
-- Then one argument for each tag that is evicted. Little endian, of 8 bytes each:
--   a fresh generation;
--   if this is a second eviction, of the first one: the generation that it left, the
--   word and the generation that it found; and a byte, 1 if the tag is restored.
-- Then one for each of the others: a fresh generation; and the one that it must have for
-- the entry to be put.
-- Then, for an entry: its value, the milliseconds that it lives, which of the evicted
-- tags is its item's, and the milliseconds that this one's generation lives at least.
--
-- Returns the time; a string with what was found and the generation that was left, for
-- each tag that was evicted; a string with the states of the others; and whether the
-- entry was put, 1 or 0. Where no generation was found, it is zero.
--
-- ARGV[4] is empty if the server is full. Then generations are only removed, and the
-- others are not looked at. Hold-offs are remembered all the same, some hundred bytes for
-- each tag until it ends: a full server lets a script go on writing that has begun with
-- what frees memory.
local is_full, count = ARGV[4] == '', tonumber(ARGV[5])
local hold_off, pairs_end = tonumber(ARGV[3]), #KEYS - #KEYS % 2
local own, own_life
if pairs_end < #KEYS then
  own, own_life = tonumber(ARGV[#ARGV - 1]), tonumber(ARGV[#ARGV])
end
local may_put = own and not is_full
local evicted, seen = {}, {}

for i = 1, count do
  local key, shard, argument = KEYS[2 * i - 1], KEYS[2 * i], ARGV[6 + i]
  local generation, moment, settling = find(key, shard)
  local left = string.sub(argument, 1, 8)
  local is_second = #argument > 8
  -- Alone: no other write has evicted the tag since this write's first eviction.
  local is_alone = is_second and generation == string.sub(argument, 9, 16)
  -- Then that one has seen to the lives of the generation and of the shard.
  local is_tended = is_alone and is_held(moment)
  local life = ARGV[4]
  if is_full then
    redis.call('UNLINK', key)
  elseif generation and not is_tended then
    life = life_of(key, life)
  end
  local others, others_settle = moment, settling
  if is_alone then
    local before = struct.unpack('<I8', argument, 17)
    others, others_settle = math.floor(before / 2), before % 2 == 1
  end
  local held, is_settling = others, others_settle
  if is_alone and string.byte(argument, 33) == 1 and not is_full then
    left = string.sub(argument, 25, 32)
  else
    -- A second eviction settles, unless another write still holds the tag.
    is_settling = is_second and (others_settle or not is_held(others))
    if others - now > damage then
      others = 0
    end
    held = math.max(others, now + hold_off)
  end
  local is_tending = not is_tended and string.byte(argument) < 32  -- one in eight
  if is_tending then
    require_shard(shard)
  end
  remember(key, shard, held, is_settling)
  if is_tending then
    redis.call('ZREMRANGEBYSCORE', shard, '-inf', now * 2)
  end
  if not is_tended then
    redis.call('PEXPIRE', shard, 86400000)
  end
  if i == own and may_put then
    may_put, life = is_alone, math.max(own_life, life)
  end
  if not is_full then
    if is_tended and i ~= own then
      redis.call('SET', key, left .. ending(held, is_settling), 'KEEPTTL')
    else
      redis.call('SET', key, left .. ending(held, is_settling), 'PX', life)
    end
  end
  evicted[i] = state(generation or none, moment, settling) .. left
end

if not is_full then
  local at = count
  for i = 2 * count + 1, pairs_end, 2 do
    at = at + 1
    local argument = ARGV[6 + at]
    local found = look(KEYS[i], KEYS[i + 1], string.sub(argument, 1, 8), ARGV[6])
    seen[at - count] = found
    may_put = may_put and string.sub(found, 1, 8) == string.sub(argument, 9)
  end
end
if may_put then
  redis.call('SET', KEYS[#KEYS], ARGV[#ARGV - 3], 'PX', ARGV[#ARGV - 2])
end
return {now, table.concat(evicted), table.concat(seen), may_put and 1 or 0}
