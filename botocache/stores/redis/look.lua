-- Returns the states of tags. A tag without a generation gets a fresh one.
-- ARGV[3]: milliseconds that a fresh generation lives.
-- ARGV[4...]: a fresh generation for each tag.
local states = {exactly(now)}
for i = 1, #KEYS, 2 do
  local generation, moment, settling = find(KEYS[i], KEYS[i + 1])
  local is_new = not generation
  generation = generation or ARGV[4 + (i - 1) / 2]
  local found = state(generation, moment, settling)
  if is_new then
    redis.call('SET', KEYS[i], found, 'PX', ARGV[3])
    redis.call('PEXPIRE', KEYS[i + 1], 86400000)
  end
  states[#states + 1] = found
end
return states
