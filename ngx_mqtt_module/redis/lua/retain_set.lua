-- Stores, replaces or removes one retained message; removes expired ones.
--
-- KEYS[1]  messages of this parent: hash of topic to message; the field with
--          an empty name holds "0" or "1", whether the parent stands in the
--          list of parents, and behind it the generation of this hash
-- KEYS[2]  topics of this parent: sorted set, all scores 0, levels separated
--          by a zero byte instead of "/", so that a subtree is one range
-- KEYS[3]  expiry times of this parent: sorted set of topics, ms
-- ARGV[1]  topic; empty: only expired messages are removed
-- ARGV[2]  message; empty: the topic's message is removed
-- ARGV[3]  when the message expires, ms; "0": never
-- ARGV[4]  now, ms
-- ARGV[5]  at most so many expired messages are removed
--
-- Returns { 1 stored, -1 removed, 0 nothing; the generation to be listed or
-- ""; the generation that has ended or ""; the earliest expiry time if it is
-- to be noted or "" }.

local function drop(topic)
    redis.call('ZREM', KEYS[2], (topic:gsub('/', '\0')))
    redis.call('ZREM', KEYS[3], topic)

    return redis.call('HDEL', KEYS[1], topic)
end

local result = { 0, '', '', '' }

for _, topic in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', ARGV[4],
                                  'LIMIT', 0, ARGV[5])) do
    drop(topic)
end

if ARGV[2] ~= '' then
    redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
    redis.call('ZADD', KEYS[2], 0, (ARGV[1]:gsub('/', '\0')))

    if ARGV[3] ~= '0' then
        redis.call('ZADD', KEYS[3], ARGV[3], ARGV[1])
    else
        redis.call('ZREM', KEYS[3], ARGV[1])
    end

    result[1] = 1

elseif ARGV[1] ~= '' and drop(ARGV[1]) == 1 then
    result[1] = -1
end

local mark = redis.call('HGET', KEYS[1], '')

if result[1] == 1 then
    if not mark then
        local time = redis.call('TIME')

        mark = string.format('0%.0f', time[1] * 1000000 + time[2])
        redis.call('HSET', KEYS[1], '', mark)
    end

    if mark:sub(1, 1) == '0' then
        result[2] = mark:sub(2)
    end

elseif mark and redis.call('HLEN', KEYS[1]) == 1 then
    redis.call('DEL', KEYS[1])
    result[3] = mark:sub(2)
end

local first = redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')

if first[1] and (ARGV[1] == '' or ARGV[1] == first[1]) then
    result[4] = string.format('%.0f', first[2])
end

return result
