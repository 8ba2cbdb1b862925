-- Lets generations live for ARGV[4] milliseconds if fewer than ARGV[3] are left.
-- Not each time: client tracking announces it as a change.
for i = 1, #KEYS, 2 do
  local left = redis.call('PTTL', KEYS[i])
  if left >= 0 and left < tonumber(ARGV[3]) then
    redis.call('PEXPIRE', KEYS[i], ARGV[4])
  end
end
return {now}
