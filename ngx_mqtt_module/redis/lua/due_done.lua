-- Notes when something is due next of a session that was taken by
-- due_take.lua.
--
-- KEYS[1]  sorted set of client ids, the score is when, ms
-- ARGV[1]  client id
-- ARGV[2]  the score under which it was taken; another one has replaced it
--          since, and stays
-- ARGV[3]  when it is due next, ms; empty: never
--
-- Returns 1, or 0 when the score is another one.

if tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1])) ~= tonumber(ARGV[2]) then
    return 0
end

if ARGV[3] == '' then
    redis.call('ZREM', KEYS[1], ARGV[1])
else
    redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
end

return 1
