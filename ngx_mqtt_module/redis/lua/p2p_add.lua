-- Stores a P2P message in the inbox of a client's session, if it is to be.
--
-- KEYS[1], KEYS[2]  session, see claim.lua, and its inbox
-- ARGV[1]  message; its first 16 bytes identify it, the next 8 are the time of
--          receipt, ms
-- ARGV[2]  messages that the inbox may hold
-- ARGV[3]  how long it may hold them, ms
-- ARGV[4]  "1": also while the client is not connected
-- ARGV[5]  `1` when the command is repeated: the message may be there already
--
-- Returns the number of the message, or 0 when it is not stored; the owner of
-- the session, or ""; how many messages were dropped because of the bounds.
--
-- What comes for a session that lives on is stored also while the client is
-- connected: so its order is that of the inbox.  Numbers begin with the time
-- in microseconds, so none comes again after the session has ended.

local s = redis.call('HMGET', KEYS[1], 'e', 'o', 'x', 't', 'n')

if not s[1] then
    return { 0, '', 0 }
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local stored

if s[2] ~= '' then
    stored = s[3] ~= '0' or s[5]
else
    stored = ARGV[4] == '1' and s[3] ~= '0'
             and not (s[4] and now >= tonumber(s[4]))
end

if not stored then
    return { 0, s[2], 0 }
end

if ARGV[5] == '1' then
    local id = string.sub(ARGV[1], 1, 16)
    local there = redis.call('LRANGE', KEYS[2], 0, -1)

    for i = #there, 1, -1 do
        if string.sub(there[i], 1, 16) == id then
            return { tonumber(s[5]) - (#there - i), s[2], 0 }
        end
    end
end

local length = redis.call('RPUSH', KEYS[2], ARGV[1])
local max, oldest = tonumber(ARGV[2]), now - tonumber(ARGV[3])
local dropped = 0

while length > 1 do
    if length <= max then
        local head = redis.call('LINDEX', KEYS[2], 0)
        local high, low = struct.unpack('>I4I4', string.sub(head, 17, 24))

        if high * 4294967296 + low >= oldest then
            break
        end
    end

    redis.call('LPOP', KEYS[2])
    length = length - 1
    dropped = dropped + 1
end

-- it does not outlive the session, nor the last message its time

local left = redis.call('PTTL', KEYS[1])

if left < 0 or left > tonumber(ARGV[3]) then
    left = ARGV[3]
end

redis.call('PEXPIRE', KEYS[2], left)

local number = (s[5] or time[1] * 1000000 + time[2]) + 1

redis.call('HSET', KEYS[1], 'n', string.format('%.0f', number))

return { number, s[2], dropped }
