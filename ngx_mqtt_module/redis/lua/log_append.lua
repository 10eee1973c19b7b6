-- Appends a message to a filter's log, and drops what is over its bounds.
--
-- KEYS[1], KEYS[2]  `{f:<filter>}`, `{f:<filter>}l`
-- ARGV[1]  message; its first 16 bytes identify it, the next 8 are the time of
--          receipt, ms
-- ARGV[2]  messages that the log may hold
-- ARGV[3]  received before that they are too old, ms
-- ARGV[4]  `1` when the command is repeated: the message may be there already
--
-- Returns the number of the message, or 0 when the log has no readers.

if redis.call('HEXISTS', KEYS[1], 'g') == 0 then
    return 0
end

if ARGV[4] == '1' then
    local id = string.sub(ARGV[1], 1, 16)
    local there = redis.call('LRANGE', KEYS[2], 0, -1)

    for i = #there, 1, -1 do
        if string.sub(there[i], 1, 16) == id then
            return redis.call('HGET', KEYS[1], 'n') - (#there - i)
        end
    end
end

local length = redis.call('RPUSH', KEYS[2], ARGV[1])
local max, oldest = tonumber(ARGV[2]), tonumber(ARGV[3])

while length > max do
    redis.call('LPOP', KEYS[2])
    length = length - 1
end

while length > 1 do
    local head = redis.call('LINDEX', KEYS[2], 0)
    local high, low = struct.unpack('>I4I4', string.sub(head, 17, 24))

    if high * 4294967296 + low >= oldest then
        break
    end

    redis.call('LPOP', KEYS[2])
    length = length - 1
end

return redis.call('HINCRBY', KEYS[1], 'n', 1)
