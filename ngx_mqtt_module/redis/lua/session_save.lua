-- Writes fields of a session.
--
-- KEYS[1]  session, see claim.lua
-- ARGV[1]  epoch of the claim; a stale one changes nothing
-- ARGV[2]  name of a field, ARGV[3] its value; empty: the field is removed;
--          and so on
--
-- Returns 1, 0 when the session was released or claimed by somebody else, or
-- -1 when there is none.

local s = redis.call('HMGET', KEYS[1], 'e', 'o')

if not s[1] then
    return -1
end

if s[1] ~= ARGV[1] or s[2] == '' then
    return 0
end

for i = 2, #ARGV, 2 do
    if ARGV[i + 1] == '' then
        redis.call('HDEL', KEYS[1], ARGV[i])
    else
        redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
    end
end

return 1
