-- Ends a reader; the log ends with its last one.
--
-- KEYS[1], KEYS[2]  `{f:<filter>}`, `{f:<filter>}l`
-- KEYS[3], KEYS[4]  `{f:<filter>}p`, `{f:<filter>}q`
-- ARGV[1]  reader: the client id
-- ARGV[2]  epoch of its session; a reader of a later one stays
--
-- Returns the generation that has ended, or an empty string.

local reader = redis.call('HGET', KEYS[1], 'r' .. ARGV[1])

if reader then
    local epoch = string.match(reader, '^(%d+):')

    if tonumber(epoch) > tonumber(ARGV[2]) then
        return ''
    end

    redis.call('HDEL', KEYS[1], 'r' .. ARGV[1])
end

local log = redis.call('HMGET', KEYS[1], 'g', 'i')

if not log[1] or redis.call('HLEN', KEYS[1]) > (log[2] and 3 or 2) then
    return ''
end

redis.call('DEL', KEYS[1], KEYS[2], KEYS[3], KEYS[4])

return log[1]
