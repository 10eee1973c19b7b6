-- Appends a message to a filter's log, and drops what is over its bounds, a
-- bounded number of messages at a time.
--
-- KEYS[1], KEYS[2]  `{f:<filter>}`, `{f:<filter>}l`
-- KEYS[3]  `{f:<filter>}c`
-- ARGV[1]  message; its first 16 bytes identify it, the next 8 are the time of
--          receipt, ms
-- ARGV[2]  messages that the log may hold
-- ARGV[3]  received before that they are too old, ms
-- ARGV[4]  when the message itself will be, from now, ms
-- ARGV[5]  `1` when the command is repeated: the message may be there already
--
-- Returns the number of the message, or 0 when the log has no readers.

local function received(message)
    local high, low = struct.unpack('>I4I4', string.sub(message, 17, 24))

    return high * 4294967296 + low
end

if redis.call('HEXISTS', KEYS[1], 'g') == 0 then
    return 0
end

-- from the end, not further than messages of the last minute, nor than 10000

if ARGV[5] == '1' then
    local id = string.sub(ARGV[1], 1, 16)
    local oldest = received(ARGV[1]) - 60000

    for from = -1, -9901, -100 do
        local page = redis.call('LRANGE', KEYS[2], from - 99, from)

        for i = #page, 1, -1 do
            if string.sub(page[i], 1, 16) == id then
                return redis.call('HGET', KEYS[1], 'n') + from + 1 - #page + i
            end
        end

        if #page < 100
           or received(page[1]) < oldest and received(page[100]) < oldest
        then
            break
        end
    end
end

local length = redis.call('RPUSH', KEYS[2], ARGV[1])

if length == 1 then
    redis.call('DEL', KEYS[3])
end

local max, oldest = tonumber(ARGV[2]), tonumber(ARGV[3])
local dropped = 0

while dropped < 100 and length > 1 do
    if length <= max
       and received(redis.call('LINDEX', KEYS[2], 0)) >= oldest
    then
        break
    end

    redis.call('LPOP', KEYS[2])
    length = length - 1
    dropped = dropped + 1
end

redis.call('PEXPIRE', KEYS[2], ARGV[4])

local number = redis.call('HINCRBY', KEYS[1], 'n', 1)

if redis.call('PEXPIRE', KEYS[3], ARGV[4]) == 1 then

    -- readers that were ahead are not any more

    for i = number - length - dropped + 1, number - length do
        local there = redis.call('HGET', KEYS[3], i)

        if there then
            redis.call('HDEL', KEYS[3], i)
            redis.call('HINCRBY', KEYS[3], 'a', -there)
        end
    end
end

return number
