-- Releases a session whose connection is gone.
--
-- KEYS[1]  session: hash of e (epoch), o (owner), x (expiry, seconds)
-- ARGV[1]  epoch of the claim; a stale one changes nothing
-- ARGV[2]  seconds the session lives on; "0": it ends now; "-1": for ever
--
-- Returns 1, or 0 when somebody else has claimed the session since.

if redis.call('HGET', KEYS[1], 'e') ~= ARGV[1] then
    return 0
end

if ARGV[2] == '0' then
    redis.call('DEL', KEYS[1])
    return 1
end

redis.call('HSET', KEYS[1], 'o', '', 'x', ARGV[2])

if ARGV[2] ~= '-1' then
    redis.call('EXPIRE', KEYS[1], ARGV[2])
end

return 1
