-- Takes messages from the log of a group: first those that were given back.
--
-- KEYS[1], KEYS[2]  `{f:<filter>}`, `{f:<filter>}l`
-- KEYS[3], KEYS[4]  `{f:<filter>}p`, `{f:<filter>}q`
-- ARGV[1]  who takes them: owner and number of the call
-- ARGV[2], ARGV[3]  messages and bytes; at least one message
-- ARGV[4]  `1` when the command is repeated: they may be taken already
--
-- Returns how many are left, or -1 when there is no log; of each message its
-- number and the message.

local last = redis.call('HGET', KEYS[1], 'n')

if not last then
    return { -1 }
end

local reply = {}

if ARGV[4] == '1' then
    for i, field in ipairs(redis.call('HKEYS', KEYS[3])) do
        if string.sub(field, 1, 1) == 'o'
           and redis.call('HGET', KEYS[3], field) == ARGV[1]
        then
            reply[#reply + 1] = tonumber(string.sub(field, 2))
        end
    end

    table.sort(reply)

    for i = #reply, 1, -1 do
        local number = string.format('%.0f', reply[i])

        reply[2 * i] = redis.call('HGET', KEYS[3], 'm' .. number)
        reply[2 * i - 1] = number
    end
end

local again = redis.call('ZCARD', KEYS[4])
local length = redis.call('LLEN', KEYS[2])

if #reply == 0 then
    local size = 0

    for i = 1, math.min(tonumber(ARGV[2]), again + length) do
        local number, message

        if again > 0 then
            number = redis.call('ZRANGE', KEYS[4], 0, 0)[1]
            message = redis.call('HGET', KEYS[3], 'm' .. number)
            redis.call('ZREM', KEYS[4], number)
            again = again - 1

        else
            number = string.format('%.0f', last - length + 1)
            message = redis.call('LPOP', KEYS[2])
            redis.call('HSET', KEYS[3], 'm' .. number, message)
            length = length - 1
        end

        redis.call('HSET', KEYS[3], 'o' .. number, ARGV[1])

        reply[#reply + 1] = number
        reply[#reply + 1] = message
        size = size + #message

        if size >= tonumber(ARGV[3]) then
            break
        end
    end
end

table.insert(reply, 1, again + length)

return reply
