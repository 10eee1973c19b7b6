-- Notes that a reader of a session is detached; the session goes with the last
-- thing that was left of it.
--
-- KEYS[1]  session, see claim.lua
-- ARGV[1]  filter
-- ARGV[2]  the epoch under which its subscription had ended
--
-- Returns 1, or 0 when it was noted already.

if redis.call('HGET', KEYS[1], 'g' .. ARGV[1]) ~= ARGV[2] then
    return 0
end

redis.call('HDEL', KEYS[1], 'g' .. ARGV[1])

local s = redis.call('HMGET', KEYS[1], 'o', 'x')

if s[1] == '' and s[2] == '0' and redis.call('HLEN', KEYS[1]) == 3 then
    redis.call('DEL', KEYS[1])
end

return 1
