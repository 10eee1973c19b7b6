-- Makes a session a reader of a filter's log, or finds that it is one.
--
-- KEYS[1], KEYS[2]  `{f:<filter>}`, `{f:<filter>}l`
-- KEYS[3]  `{f:<filter>}c`
-- ARGV[1]  reader: the client id
-- ARGV[2]  epoch of the session; a later one stays
-- ARGV[3]  `1`: the log is that of a group, in which cursors say nothing
--
-- Returns the generation of the log; 1 if the log is listed in the index, 0
-- if not; the number of its last message; the number of the last message that
-- the reader is done with; 1 if it was a reader before, 0 if not. A new reader
-- begins behind the last message.

local log = redis.call('HMGET', KEYS[1], 'g', 'i', 'n', 'r' .. ARGV[1])
local epoch, cursor = string.match(log[4] or '', '^(%d+):(%d+)$')

if not log[1] then
    local now = redis.call('TIME')

    log[1] = string.format('%.0f', now[1] * 1000000 + now[2])
    log[3] = '0'

    redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
    redis.call('HSET', KEYS[1], 'g', log[1], 'n', '0')

elseif not cursor and ARGV[3] == '0'
       and redis.call('EXISTS', KEYS[2]) == 1
then
    redis.call('HINCRBY', KEYS[3], log[3], 1)

    if redis.call('HINCRBY', KEYS[3], 'a', 1) == 1 then
        redis.call('PEXPIRE', KEYS[3], redis.call('PTTL', KEYS[2]))
    end
end

cursor = cursor or log[3]

if not epoch or tonumber(epoch) < tonumber(ARGV[2]) then
    redis.call('HSET', KEYS[1], 'r' .. ARGV[1], ARGV[2] .. ':' .. cursor)
end

return { log[1], log[2] and 1 or 0, log[3], cursor, epoch and 1 or 0 }
