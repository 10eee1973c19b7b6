-- Reads a page of a filter's log.
--
-- KEYS[1], KEYS[2]  `{f:<filter>}`, `{f:<filter>}l`
-- ARGV[1]  the number behind which to read
-- ARGV[2], ARGV[3]  messages and bytes of a page; at least one message
-- ARGV[4]  received before that they are too old, ms
-- ARGV[5]  reader: the client id; absent: the log is the inbox of a session
-- ARGV[6]  epoch of its session
--
-- Returns the number of the last message of the log, or -1 when there is no
-- log, or -2 when somebody else reads for the session, or nobody; the number
-- of the first message of the page; the messages. A page of which all are too
-- old is empty, and begins behind them.

local log = redis.call('HMGET', KEYS[1], 'n', 'r' .. (ARGV[5] or ''))

if not log[1] then
    return { -1, 0 }
end

if ARGV[5] and string.match(log[2] or '', '^(%d+):') ~= ARGV[6] then
    return { -2, 0 }
end

local last = tonumber(log[1])
local first = last - redis.call('LLEN', KEYS[2]) + 1
local from = math.max(first, tonumber(ARGV[1]) + 1)
local page = redis.call('LRANGE', KEYS[2], from - first,
                        from - first + tonumber(ARGV[2]) - 1)
local oldest = tonumber(ARGV[4])
local reply = { last, from }
local size = 0

for i, message in ipairs(page) do
    local high, low = struct.unpack('>I4I4', string.sub(message, 17, 24))

    if size == 0 and high * 4294967296 + low < oldest then
        reply[2] = from + i

    else
        size = size + #message

        if #reply > 2 and size > tonumber(ARGV[3]) then
            break
        end

        reply[#reply + 1] = message
    end
end

return reply
