-- Gives messages back to the log of a group: they are the next to be taken.
--
-- KEYS[1]  `{f:<filter>}`
-- KEYS[2], KEYS[3]  `{f:<filter>}p`, `{f:<filter>}q`
-- ARGV[1], ARGV[2], ...  number of a message and who has taken it
--
-- Returns how many, or -1 when there is no log; what somebody else has taken
-- since is his.

if redis.call('HEXISTS', KEYS[1], 'g') == 0 then
    return -1
end

local n = 0

for i = 1, #ARGV, 2 do
    if redis.call('HGET', KEYS[2], 'o' .. ARGV[i]) == ARGV[i + 1] then
        redis.call('HDEL', KEYS[2], 'o' .. ARGV[i])
        redis.call('ZADD', KEYS[3], ARGV[i], ARGV[i])
        n = n + 1
    end
end

return n
