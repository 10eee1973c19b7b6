-- Ends a reader; the log ends with its last one.
--
-- KEYS[1], KEYS[2]  `{f:<filter>}`, `{f:<filter>}l`
-- KEYS[3]  `{f:<filter>}c`
-- KEYS[4], KEYS[5]  `{f:<filter>}p`, `{f:<filter>}q`
-- ARGV[1]  reader: the client id
-- ARGV[2]  epoch of its session; a reader of a later one stays
--
-- Returns the generation that has ended, or an empty string; 1 when no other
-- reader needs the oldest message, see log_trim.lua, otherwise 0.

local field = 'r' .. ARGV[1]
local log = redis.call('HMGET', KEYS[1], 'g', 'i', field)
local epoch, cursor = string.match(log[3] or '', '^(%d+):(%d+)$')

if epoch and tonumber(epoch) > tonumber(ARGV[2]) then
    return { '', 0 }
end

redis.call('HDEL', KEYS[1], field)

local readers = redis.call('HLEN', KEYS[1]) - (log[2] and 3 or 2)

if not log[1] then
    return { '', 0 }
end

if readers == 0 then
    redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5])
    return { log[1], 0 }
end

if cursor and redis.call('HEXISTS', KEYS[3], cursor) == 1 then
    if redis.call('HINCRBY', KEYS[3], cursor, -1) == 0 then
        redis.call('HDEL', KEYS[3], cursor)
    end

    redis.call('HINCRBY', KEYS[3], 'a', -1)
end

local counted = tonumber(redis.call('HGET', KEYS[3], 'a')) or 0

return { '', counted < readers and 0 or 1 }
