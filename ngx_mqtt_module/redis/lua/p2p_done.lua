-- Drops what a client has acknowledged from the inbox of its session.
--
-- KEYS[1], KEYS[2]  session, see claim.lua, and its inbox
-- ARGV[1]  the number of the last message that the client is done with
--
-- Returns how many were dropped.
--
-- There is no epoch: numbers do not come again, and what was acknowledged is,
-- whoever owns the session by now.

local last = redis.call('HGET', KEYS[1], 'n')

if not last then
    return 0
end

local first = last - redis.call('LLEN', KEYS[2]) + 1
local done = ARGV[1] - first + 1

if done <= 0 then
    return 0
end

redis.call('LTRIM', KEYS[2], done, -1)

return done
