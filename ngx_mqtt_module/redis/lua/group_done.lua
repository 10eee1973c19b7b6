-- Forgets messages of a group that need no other member any more.
--
-- KEYS[1]  `{f:<filter>}p`
-- ARGV[1], ARGV[2], ...  number of a message and who has taken it
--
-- Returns how many; what somebody else has taken since is his.

local n = 0

for i = 1, #ARGV, 2 do
    if redis.call('HGET', KEYS[1], 'o' .. ARGV[i]) == ARGV[i + 1] then
        redis.call('HDEL', KEYS[1], 'o' .. ARGV[i], 'm' .. ARGV[i])
        n = n + 1
    end
end

return n
