-- Puts a record on the board, in the place of others; or drops records.
--
-- A field is the end of its record's life by the server's clock, in seconds as a double,
-- and the record.
--
-- KEYS[1]: the board.
-- ARGV[1]: the time.
-- ARGV[2]: seconds that a record lives at most.
-- ARGV[3]: how many records the board has at most.
-- ARGV[4]: milliseconds for which the board lives at least.
-- ARGV[5]: 'post', 'merge' or 'drop'.
-- ARGV[6]: the name of the record.
-- ARGV[7]: its field.
-- Then three for each part: its name, the size and the SHA-1 of its record; of its whole
-- field if it is dropped.
--
-- Returns 1; 0 if a part is missing or differs, or if the name is taken; -1 if the board
-- is full. Then nothing is changed. Others can write to the server: a field is hashed
-- only if it has the right size.
local board, mode, name = KEYS[1], ARGV[5], ARGV[6]
local now, longest, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local largest = 1048584  -- bytes of a field: LARGEST_RECORD of boards.py, and its end

local count = redis.pcall('HLEN', board)
if type(count) ~= 'number' then
  if not string.find(count.err, 'WRONGTYPE', 1, true) then
    redis.call('HLEN', board)  -- fails again, and says why
  end
  redis.call('UNLINK', board)
  count = 0
end
if count > 2 * most then  -- more than we can have put there
  redis.call('UNLINK', board)
  count = 0
end

-- Returns a field of a size; false if there is none, or no record whose life goes on.
local function find(field, size)
  if redis.call('HSTRLEN', board, field) ~= size then
    return false
  end
  local value = redis.call('HGET', board, field)
  if mode == 'drop' then
    return value
  end
  local left = size >= 8 and size <= largest and struct.unpack('<d', value) - now
  return left and left > 0 and left <= longest and value  -- none of these for NaN
end

local own = false
for i = 8, #ARGV, 3 do
  local value = find(ARGV[i], tonumber(ARGV[i + 1]))
  if value and mode ~= 'drop' then
    value = string.sub(value, 9)
  end
  if not value or redis.sha1hex(value) ~= ARGV[i + 2] then
    return 0
  end
  own = own or ARGV[i] == name
end
if mode ~= 'drop' and not own then
  local size = redis.call('HSTRLEN', board, name)
  if size > 0 then
    if mode == 'merge' and size <= largest and find(name, size) then
      return 0
    end
  elseif count >= most then
    return -1
  end
end
for i = 8, #ARGV, 3 do
  redis.call('HDEL', board, ARGV[i])
end
if mode ~= 'drop' then
  redis.call('HSET', board, name, ARGV[7])
  redis.call('PEXPIRE', board, math.max(tonumber(ARGV[4]), redis.call('PTTL', board)))
end
return 1
