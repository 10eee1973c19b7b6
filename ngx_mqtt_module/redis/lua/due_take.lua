-- Takes sessions of which something is due.  They are due again after a while,
-- for others, unless due_done.lua is called in time.
--
-- KEYS[1]  sorted set of client ids, the score is when, ms
-- ARGV[1]  at most so many
-- ARGV[2]  how long they are taken for, ms
--
-- Returns { their score now; ms until the next one is due or -1; client ids
-- ... }.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local again = string.format('%.0f', now + ARGV[2])

local result = { again, -1 }

for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf',
                               string.format('%.0f', now),
                               'LIMIT', 0, ARGV[1])) do
    redis.call('ZADD', KEYS[1], again, id)
    result[#result + 1] = id
end

local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')

if first[2] then
    result[2] = math.max(tonumber(first[2]) - now, 0)
end

return result
