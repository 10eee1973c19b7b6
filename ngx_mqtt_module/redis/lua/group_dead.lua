-- Gives everything back that a dead worker has taken from the log of a group.
--
-- KEYS[1], KEYS[2]  `{f:<filter>}p`, `{f:<filter>}q`
-- ARGV[1]  owner who is dead
--
-- Returns how many messages.

local theirs = ARGV[1] .. ' '
local n = 0

for i, field in ipairs(redis.call('HKEYS', KEYS[1])) do
    if string.sub(field, 1, 1) == 'o'
       and string.sub(redis.call('HGET', KEYS[1], field), 1, #theirs) == theirs
    then
        local number = string.sub(field, 2)

        redis.call('HDEL', KEYS[1], field)
        redis.call('ZADD', KEYS[2], number, number)
        n = n + 1
    end
end

return n
