-- Notes that a will is published, the end of a connection is told, or a reader
-- is detached; a session that has ended goes with the last of them.
--
-- KEYS[1]  session, see claim.lua
-- ARGV[1]  field: "p" and the number of the will, "c" and the epoch of the
--          connection, "g" and the filter
-- ARGV[2]  what its value begins with: the owner who has published the will or
--          told the end, the epoch under which the subscription had ended
--
-- Returns 1, or 0 when it was noted already.

local value = redis.call('HGET', KEYS[1], ARGV[1])

if not value or (value .. ' '):sub(1, #ARGV[2] + 1) ~= ARGV[2] .. ' ' then
    return 0
end

redis.call('HDEL', KEYS[1], ARGV[1])

local s = redis.call('HMGET', KEYS[1], 'o', 'x')

if s[1] == '' and s[2] == '0' and redis.call('HLEN', KEYS[1]) == 3 then
    redis.call('DEL', KEYS[1])
end

return 1
