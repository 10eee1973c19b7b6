-- Notes what has become of QoS 2 publishes that were in flight when their
-- connection ended, unless nobody wants to know any more.
--
-- KEYS[1]  session, see claim.lua
-- ARGV[1]  field: "q" and the epoch of the connection
-- ARGV[2]  its value: owner, " ", packet identifiers that are done with
--
-- Returns 1, or 0 when nothing was noted.

if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
    return 0
end

redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])

return 1
