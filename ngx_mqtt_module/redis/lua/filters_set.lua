-- Adds a filter to the index of those that have a log, or removes one.
--
-- KEYS[1]  `{i}w`: filters with wildcards and those of groups, each with the
--          generation of its log
-- KEYS[2]  `{i}g`: how many exact filters have a log, by first level
-- KEYS[3], KEYS[4]  `{i}v`, `{i}s`: version, and the last changes
-- ARGV[1]  `+` or `-`
-- ARGV[2]  `w`: a filter with wildcards or of a group; `g`: the first level of
--          an exact one
-- ARGV[3]  filter, or level
-- ARGV[4]  generation of the log; another one stays
-- ARGV[5]  how many changes are kept
--
-- Returns the incarnation and the version of the index.

local index = redis.call('HMGET', KEYS[3], 'i', 'v')

if not index[1] then
    local now = redis.call('TIME')

    index = { string.format('%.0f', now[1] * 1000000 + now[2]), '0' }
    redis.call('DEL', KEYS[1], KEYS[2], KEYS[4])
    redis.call('HSET', KEYS[3], 'i', index[1], 'v', '0')
end

local changed

if ARGV[2] == 'w' then
    local there = redis.call('HGET', KEYS[1], ARGV[3])

    if ARGV[1] == '+' then
        redis.call('HSET', KEYS[1], ARGV[3], ARGV[4])
        changed = there ~= ARGV[4]

    elseif there == ARGV[4] then
        redis.call('HDEL', KEYS[1], ARGV[3])
        changed = true
    end

else
    local step = ARGV[1] == '+' and 1 or -1
    local count = redis.call('HINCRBY', KEYS[2], ARGV[3], step)

    changed = count == 1 and step == 1

    if count <= 0 then
        redis.call('HDEL', KEYS[2], ARGV[3])
        changed = count == 0
    end
end

if changed then
    index[2] = redis.call('HINCRBY', KEYS[3], 'v', 1)

    redis.call('RPUSH', KEYS[4], ARGV[1] .. ARGV[2] .. ARGV[4] .. ':'
                                 .. ARGV[3])
    redis.call('LTRIM', KEYS[4], -tonumber(ARGV[5]), -1)
end

return { index[1], tostring(index[2]) }
