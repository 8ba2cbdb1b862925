-- Registers the run ARGV[3] of a primary, to which a connection was made.
--
-- A new run may be a replica that became the primary, or a server that restarted from a
-- file. It may lack the last evictions. So KEYS[1], which is the tag of everything, gets
-- the fresh generation ARGV[4], and settles, for hold-offs may be lost as well.
-- ARGV[5]: milliseconds that the generation lives. KEYS[3]: the set of all runs.
--
-- Commands that free memory come first: then a full server lets the others be done.
redis.call('PEXPIRE', KEYS[3], 2592000000)
local count = attempt('SCARD', KEYS[3])
if not count or count > 1000 then  -- none of ours has so many
  redis.call('UNLINK', KEYS[3])
end
local is_new = redis.call('SADD', KEYS[3], ARGV[3])
if is_new ~= 0 then
  redis.call('PEXPIRE', KEYS[3], 2592000000)
  local generation, moment, settling = find(KEYS[1], KEYS[2])
  settling = settling or not is_held(moment)
  moment = math.max(is_held(moment) and moment or 0, now + settle)
  remember(KEYS[1], KEYS[2], moment, settling)
  redis.call('PEXPIRE', KEYS[2], 86400000)
  if generation then
    local life = life_of(KEYS[1], ARGV[5])
    redis.call('SET', KEYS[1], state(ARGV[4], moment, settling), 'PX', life)
  end
end
return {now}
