-- Ends the lease of a worker.
--
-- KEYS[1], KEYS[2], KEYS[3]  see lease.lua
-- ARGV[1]  owner
-- ARGV[2]  "taken": everything of his was taken over; "empty": he has nothing
--          any more; "planned": he leaves clients behind, whose wills are not
--          to be published
-- ARGV[3]  how long owners that were taken over are remembered, ms
--
-- Returns 1.

if ARGV[2] == 'planned' then
    local mark = redis.call('HGET', KEYS[2], ARGV[1]) or ''

    if not mark:find('^[tq]') then
        redis.call('ZADD', KEYS[1], 0, ARGV[1])
        redis.call('HSET', KEYS[2], ARGV[1], 'p')
    end

    return 1
end

redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])

if ARGV[2] == 'taken' then
    local time = redis.call('TIME')
    local now = time[1] * 1000 + math.floor(time[2] / 1000)

    redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf',
               string.format('%.0f', now - ARGV[3]))
    redis.call('ZADD', KEYS[3], string.format('%.0f', now), ARGV[1])
end

return 1
