-- Moves the cursor of a reader.
--
-- KEYS[1], KEYS[2]  `{f:<filter>}`, `{f:<filter>}l`
-- KEYS[3]  `{f:<filter>}c`
-- ARGV[1]  reader: the client id
-- ARGV[2]  epoch of its session; a stale one changes nothing
-- ARGV[3]  the number of the last message that the reader is done with
--
-- Returns 1; 2 when no reader needs the oldest message any longer, see
-- log_trim.lua; 0 when somebody else reads for the session, or nobody.

local field = 'r' .. ARGV[1]
local log = redis.call('HMGET', KEYS[1], 'n', 'i', field)
local epoch, old = string.match(log[3] or '', '^(%d+):(%d+)$')

if epoch ~= ARGV[2] then
    return 0
end

redis.call('HSET', KEYS[1], field, ARGV[2] .. ':' .. ARGV[3])

local length = redis.call('LLEN', KEYS[2])

if length == 0 then
    return 1
end

local ahead = tonumber(ARGV[3]) - (log[1] - length)
local readers = redis.call('HLEN', KEYS[1]) - (log[2] and 3 or 2)

-- of a single reader nothing is counted

if readers == 1 then
    if ahead > 0 then
        redis.call('LTRIM', KEYS[2], ahead, -1)
    end

    redis.call('DEL', KEYS[3])

    return 1
end

local change = 0
local there = redis.call('HGET', KEYS[3], old)

if there then
    change = -1

    if there == '1' then
        redis.call('HDEL', KEYS[3], old)
    else
        redis.call('HINCRBY', KEYS[3], old, -1)
    end
end

if ahead > 0 then
    change = change + 1
    redis.call('HINCRBY', KEYS[3], ARGV[3], 1)
end

if change == 0 and not there then
    return 1
end

local counted = redis.call('HINCRBY', KEYS[3], 'a', change)

if counted == 1 and change == 1 then
    redis.call('PEXPIRE', KEYS[3], redis.call('PTTL', KEYS[2]))
end

return counted < readers and 1 or 2
