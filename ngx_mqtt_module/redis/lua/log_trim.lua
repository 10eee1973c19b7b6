-- Drops messages that no reader needs any longer, a bounded number of them.
--
-- The tally has the readers that are ahead of the first message of the list:
-- how many there are at each cursor, and in `a` all together. Others, also
-- those that it does not know of, need the first message. So it may be lost at
-- any time: then messages stay until every reader has moved. A tally is that
-- of a list, with an empty one it ends.
--
-- KEYS[1], KEYS[2]  `{f:<filter>}`, `{f:<filter>}l`
-- KEYS[3]  `{f:<filter>}c`
-- ARGV[1]  at most so many messages
--
-- Returns 1 when there are more to be dropped, otherwise 0.

local log = redis.call('HMGET', KEYS[1], 'n', 'i')
local length = redis.call('LLEN', KEYS[2])

if not log[1] or length == 0 then
    return 0
end

local readers = redis.call('HLEN', KEYS[1]) - (log[2] and 3 or 2)
local counted = tonumber(redis.call('HGET', KEYS[3], 'a')) or 0

if counted < readers then
    return 0
end

local before = log[1] - length
local most = tonumber(ARGV[1])
local step = most + 1

-- to the slowest reader: the lowest of few cursors, or the next one

if redis.call('HLEN', KEYS[3]) <= most then
    for _, cursor in ipairs(redis.call('HKEYS', KEYS[3])) do
        step = math.min(step, (tonumber(cursor) or math.huge) - before)
    end

else
    for i = 1, most do
        if redis.call('HEXISTS', KEYS[3], before + i) == 1 then
            step = i
            break
        end
    end
end

if step > most then
    redis.call('LTRIM', KEYS[2], most, -1)
    return 1
end

redis.call('LTRIM', KEYS[2], step, -1)

if step == length then
    redis.call('DEL', KEYS[3])
    return 0
end

redis.call('HINCRBY', KEYS[3], 'a',
           -redis.call('HGET', KEYS[3], before + step))
redis.call('HDEL', KEYS[3], before + step)

return 0
