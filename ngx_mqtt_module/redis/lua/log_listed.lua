-- Notes that a log stands in the index.
--
-- KEYS[1]  `{f:<filter>}`
-- ARGV[1]  the generation that was listed
--
-- Returns 1, or 0 when that generation has ended.

if redis.call('HGET', KEYS[1], 'g') ~= ARGV[1] then
    return 0
end

redis.call('HSET', KEYS[1], 'i', '1')

return 1
