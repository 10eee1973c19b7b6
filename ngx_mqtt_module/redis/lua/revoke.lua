-- Revokes a token; forgets some of those that have expired since.
--
-- KEYS[1]  revoked tokens: sorted set, the score grows with each
-- KEYS[2]  the same tokens: sorted set, the score is when they expire, s
-- ARGV[1]  id of the token
-- ARGV[2]  when it expires, seconds since the epoch
-- ARGV[3]  now
--
-- Returns 1.
--
-- The score is the time in microseconds, or one more than the last one where
-- the clock stands behind it.  A token is forgotten a minute late, as the
-- clocks of the gateways may differ.

for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf',
                               tonumber(ARGV[3]) - 60, 'LIMIT', 0, 16)) do
    redis.call('ZREM', KEYS[1], id)
    redis.call('ZREM', KEYS[2], id)
end

if redis.call('ZSCORE', KEYS[1], ARGV[1]) then
    return 1
end

local now = redis.call('TIME')
local score = now[1] * 1000000 + now[2]
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')

if last[2] and score <= tonumber(last[2]) then
    score = tonumber(last[2]) + 1
end

redis.call('ZADD', KEYS[1], string.format('%.0f', score), ARGV[1])
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])

return 1
