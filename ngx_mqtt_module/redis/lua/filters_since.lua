-- What has changed in the index of filters that have a log.
--
-- KEYS[1], KEYS[2], KEYS[3], KEYS[4]  `{i}w`, `{i}g`, `{i}v`, `{i}s`
-- ARGV[1], ARGV[2]  incarnation and version that are known
--
-- Returns incarnation and version; 0 and the changes since, or 1 and all
-- filters. A change or filter is `+` or `-`, `w` or `g`, the generation, a
-- colon, and the filter or first level.

local index = redis.call('HMGET', KEYS[3], 'i', 'v')

if not index[1] then
    return { '0', '0', 1 }
end

local behind = tonumber(index[2]) - tonumber(ARGV[2])

if index[1] == ARGV[1] and behind >= 0
   and behind <= redis.call('LLEN', KEYS[4])
then
    local reply = { index[1], index[2], 0 }

    if behind > 0 then
        for i, change in ipairs(redis.call('LRANGE', KEYS[4], -behind, -1)) do
            reply[i + 3] = change
        end
    end

    return reply
end

local reply = { index[1], index[2], 1 }
local filters = redis.call('HGETALL', KEYS[1])

for i = 1, #filters, 2 do
    reply[#reply + 1] = '+w' .. filters[i + 1] .. ':' .. filters[i]
end

for i, level in ipairs(redis.call('HKEYS', KEYS[2])) do
    reply[#reply + 1] = '+g0:' .. level
end

return reply
