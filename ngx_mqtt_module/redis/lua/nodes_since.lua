-- What has changed in the index of all workers; tells that the one who asks
-- lives, and drops those who have not asked for too long.
--
-- If nobody has asked for a while then Redis was away: everybody gets the time
-- to ask before anybody is dropped.
--
-- KEYS[1], KEYS[2], KEYS[3], KEYS[4]  see nodes_set
-- ARGV[1], ARGV[2]  incarnation and version that are known
-- ARGV[3]  owner
-- ARGV[4]  who has not asked for so long is dropped, ms
-- ARGV[5]  how many changes are kept
--
-- Returns incarnation and version; 1 when the worker was not in the index, and
-- 0 otherwise; 0 and the changes since, or 1 and everything. A change is `+`
-- or `-`, the owner, and, unless it is about the worker itself, a space and
-- what it wants.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lapse = tonumber(ARGV[4])
local index = redis.call('HMGET', KEYS[1], 'i', 't', 'g')

local function changed(change)
    redis.call('RPUSH', KEYS[2], change)
    redis.call('HINCRBY', KEYS[1], 'v', 1)
end

if not index[1] then
    index = { string.format('%.0f', time[1] * 1000000 + time[2]), now, now }
    redis.call('DEL', KEYS[2], KEYS[3])
    redis.call('HSET', KEYS[1], 'i', index[1], 'v', '0', 'g',
               string.format('%.0f', now))
end

if now - index[2] > lapse / 2 then
    index[3] = now
    redis.call('HSET', KEYS[1], 'g', string.format('%.0f', now))
end

redis.call('HSET', KEYS[1], 't', string.format('%.0f', now))

local anew = redis.call('ZADD', KEYS[3], string.format('%.0f', now), ARGV[3])

if anew == 1 then
    redis.call('DEL', KEYS[4])
    changed('+' .. ARGV[3])
end

if now - index[3] > lapse then
    local prefix = KEYS[4]:sub(1, #KEYS[4] - #ARGV[3])

    for _, owner in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf',
                               string.format('%.0f', now - lapse))) do
        redis.call('DEL', prefix .. owner)
        redis.call('ZREM', KEYS[3], owner)
        changed('-' .. owner)
    end
end

redis.call('LTRIM', KEYS[2], -tonumber(ARGV[5]), -1)

local version = redis.call('HGET', KEYS[1], 'v')
local behind = version - tonumber(ARGV[2])
local reply = { index[1], version, anew, 0 }

if index[1] == ARGV[1] and behind >= 0
   and behind <= redis.call('LLEN', KEYS[2])
then
    if behind > 0 then
        for _, change in ipairs(redis.call('LRANGE', KEYS[2], -behind, -1)) do
            reply[#reply + 1] = change
        end
    end

    return reply
end

reply[4] = 1

local prefix = KEYS[4]:sub(1, #KEYS[4] - #ARGV[3])

for _, owner in ipairs(redis.call('ZRANGE', KEYS[3], 0, -1)) do
    reply[#reply + 1] = '+' .. owner

    for _, what in ipairs(redis.call('SMEMBERS', prefix .. owner)) do
        reply[#reply + 1] = '+' .. owner .. ' ' .. what
    end
end

return reply
