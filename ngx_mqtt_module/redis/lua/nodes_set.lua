-- Changes what a worker wants to be sent, in the index of all workers.
--
-- KEYS[1], KEYS[2]  `{n}v`, `{n}s`: version, and the last changes
-- KEYS[3]  `{n}t`: the workers, the score is when each was last heard of, ms
-- KEYS[4]  `{n}o:<owner>`: what this one wants
-- ARGV[1]  owner
-- ARGV[2]  how many changes are kept
-- ARGV[3], ARGV[4], ...  `+` or `-`, and what: `w` and a filter; `g` and the
--          first level of filters; `s`, the name of a group, `/` and a filter
--
-- Returns the version of the index, and 1 when the worker was not in it: what
-- it has told before is forgotten.

local anew = 0

if not redis.call('ZSCORE', KEYS[3], ARGV[1]) then
    local now = redis.call('TIME')

    redis.call('ZADD', KEYS[3], string.format('%.0f', now[1] * 1000
                                              + math.floor(now[2] / 1000)),
               ARGV[1])
    redis.call('DEL', KEYS[4])
    redis.call('RPUSH', KEYS[2], '+' .. ARGV[1])
    redis.call('HINCRBY', KEYS[1], 'v', 1)
    anew = 1
end

for i = 3, #ARGV do
    local sign, what = ARGV[i]:sub(1, 1), ARGV[i]:sub(2)
    local command = sign == '+' and 'SADD' or 'SREM'

    if redis.call(command, KEYS[4], what) == 1 then
        redis.call('RPUSH', KEYS[2], sign .. ARGV[1] .. ' ' .. what)
        redis.call('HINCRBY', KEYS[1], 'v', 1)
    end
end

redis.call('LTRIM', KEYS[2], -tonumber(ARGV[2]), -1)

return { redis.call('HGET', KEYS[1], 'v') or '0', anew }
