-- Ends a lease, if it still is that of the caller.
-- KEYS[1]: of the lease. ARGV[1]: its token. Not GET: see the commands of an ACL user.
local found = redis.pcall('MGET', KEYS[1])
if found[1] == ARGV[1] then
  return redis.call('UNLINK', KEYS[1])
end
return 0
