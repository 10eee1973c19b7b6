-- Notes that a parent stands in the list of parents.
--
-- KEYS[1]  messages of this parent, see retain_set.lua
-- ARGV[1]  the generation that was listed
--
-- Returns 1, or 0 when that generation has ended.

if redis.call('HGET', KEYS[1], '') ~= '0' .. ARGV[1] then
    return 0
end

redis.call('HSET', KEYS[1], '', '1' .. ARGV[1])

return 1
