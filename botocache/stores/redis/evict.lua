-- Evicts tags: next_state() of _coherence.py, for each of them. Returns for each tag the
-- state that it found and the state that it left.
--
-- ARGV[3]: the hold-off in microseconds.
-- ARGV[4]: milliseconds that a generation lives at least.
-- Then six arguments for each tag:
--   a fresh generation;
--   a fresh generation to return as found, if there was none;
--   of this write's first eviction, or empty: the generation that it left, the word and
--   the generation that it found;
--   whether the tag is restored.
--
-- ARGV[4] is empty if the server is full. Then generations are only removed. Hold-offs
-- are remembered all the same, some hundred bytes for each tag until it ends: a full
-- server lets a script go on writing that has begun with what frees memory.
local states = {exactly(now)}
local is_full = ARGV[4] == ''
for i = 1, #KEYS, 2 do
  local key, shard, at = KEYS[i], KEYS[i + 1], 5 + (i - 1) * 3
  local fresh, none, mine = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local generation, moment, settling = find(key, shard)
  local life = ARGV[4]
  if is_full then
    redis.call('UNLINK', key)
  elseif generation then
    life = life_of(key, life)
  end
  local others, others_settle = moment, settling
  -- Alone: no other write has evicted the tag since this write's first eviction.
  local is_alone = mine ~= '' and mine == generation
  if is_alone then
    local before = tonumber(ARGV[at + 3])
    others, others_settle = math.floor(before / 2), before % 2 == 1
  end
  local left
  if is_alone and ARGV[at + 5] ~= '' and not is_full then
    left = state(ARGV[at + 4], others, others_settle)
    remember(key, shard, others, others_settle)
  else
    -- A second eviction settles, unless another write still holds the tag.
    local is_settling = mine ~= '' and (others_settle or not is_held(others))
    if others - now > damage then
      others = 0
    end
    local held = math.max(others, now + tonumber(ARGV[3]))
    left = state(fresh, held, is_settling)
    remember(key, shard, held, is_settling)
  end
  if not is_full then
    redis.call('SET', key, left, 'PX', life)
  end
  states[#states + 1] = state(generation or none, moment, settling)
  states[#states + 1] = left
end
return states
