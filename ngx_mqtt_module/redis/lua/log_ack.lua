-- Moves the cursor of a reader, and drops what no reader needs any longer.
--
-- KEYS[1], KEYS[2]  `{f:<filter>}`, `{f:<filter>}l`
-- ARGV[1]  reader: the client id
-- ARGV[2]  epoch of its session; a stale one changes nothing
-- ARGV[3]  the number of the last message that the reader is done with
-- ARGV[4]  among how many fields the slowest reader is looked for
--
-- Returns 1, or 0 when somebody else reads for the session, or nobody.

local field = 'r' .. ARGV[1]
local reader = redis.call('HGET', KEYS[1], field)

if not reader or string.match(reader, '^(%d+):') ~= ARGV[2] then
    return 0
end

redis.call('HSET', KEYS[1], field, ARGV[2] .. ':' .. ARGV[3])

if redis.call('HLEN', KEYS[1]) > tonumber(ARGV[4]) then
    return 1
end

local log = redis.call('HGETALL', KEYS[1])
local slowest = tonumber(ARGV[3])
local last

for i = 1, #log, 2 do
    if log[i] == 'n' then
        last = tonumber(log[i + 1])

    elseif string.sub(log[i], 1, 1) == 'r' then
        slowest = math.min(slowest,
                           tonumber(string.match(log[i + 1], ':(%d+)$')))
    end
end

local first = last - redis.call('LLEN', KEYS[2]) + 1

if slowest >= first then
    redis.call('LTRIM', KEYS[2], slowest - first + 1, -1)
end

return 1
