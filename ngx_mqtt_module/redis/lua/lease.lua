-- Renews the lease of a worker, and looks for workers whose lease has lapsed.
--
-- A lease that has lapsed is only noted at first: if Redis was away, all have,
-- and whoever lives renews his own before so much time has passed once more.
--
-- KEYS[1]  leases: sorted set of owners, the score is the end, ms
-- KEYS[2]  hash of owners: "s" and when the lease was first seen lapsed, ms;
--          "p": ended as planned; "t" or, as planned, "q" and by whom they are
--          being taken over
-- KEYS[3]  owners that were taken over: sorted set, the score is when, ms
-- ARGV[1]  owner
-- ARGV[2]  length of a lease, ms
-- ARGV[3]  "1": the first time, all owners are returned
-- ARGV[4]  at most so many owners are returned otherwise
-- ARGV[5]  "1": the owner knows that he was taken over, and begins anew
--
-- Returns { 1; 0 when the owner is just being taken over; -1 when he was, and
-- has no lease before he knows; owners ... }.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local mark = redis.call('HGET', KEYS[2], ARGV[1]) or ''
local result = { 1 }

if mark:find('^[tq]') then
    return { 0 }
end

if redis.call('ZSCORE', KEYS[3], ARGV[1]) then
    if ARGV[5] ~= '1' then
        return { -1 }
    end

    redis.call('ZREM', KEYS[3], ARGV[1])
end

redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[2]), ARGV[1])

if mark ~= '' then
    redis.call('HDEL', KEYS[2], ARGV[1])
end

if ARGV[3] == '1' then
    for _, owner in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
        result[#result + 1] = owner
    end

    return result
end

for _, owner in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf',
                                  string.format('%.0f', now),
                                  'LIMIT', 0, ARGV[4])) do
    local seen = redis.call('HGET', KEYS[2], owner)

    if not seen then
        redis.call('HSET', KEYS[2], owner, string.format('s%.0f', now))

    elseif seen:sub(1, 1) ~= 's' or now - seen:sub(2) >= tonumber(ARGV[2]) then
        result[#result + 1] = owner
    end
end

return result
