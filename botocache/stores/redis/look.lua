-- Returns the time, and a string with the states of tags. A tag without a generation
-- gets a fresh one.
-- ARGV[3]: milliseconds that a fresh generation lives.
-- ARGV[4]: a fresh generation for each tag, one after the other.
local states = {}
for i = 1, #KEYS, 2 do
  local fresh = string.sub(ARGV[4], i * 4 - 3, i * 4 + 4)
  states[#states + 1] = look(KEYS[i], KEYS[i + 1], fresh, ARGV[3])
end
return {now, table.concat(states)}
