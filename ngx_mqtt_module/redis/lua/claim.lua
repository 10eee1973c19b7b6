-- Claims a session for the connection that asks (CONNECT).
--
-- KEYS[1]  session: hash of e (epoch), o (owner), x (expiry, seconds)
-- ARGV[1]  owner: node, slot and generation of the worker
-- ARGV[2]  "1" to start clean
-- ARGV[3]  expiry interval once it is released, seconds; "0": none
--
-- Returns { epoch, previous owner or "", session present }.
--
-- The epoch is the time in microseconds, or one more than the last one where
-- the clock stands behind it: so it grows for a client id for ever, although
-- nothing is kept of a session that has ended.

local s = redis.call('HMGET', KEYS[1], 'e', 'o', 'x')
local now = redis.call('TIME')
local epoch = now[1] * 1000000 + now[2]
local present = 0

if s[1] then
    local last = tonumber(s[1])

    if epoch <= last then
        epoch = last + 1
    end

    if ARGV[2] ~= '1' and s[3] ~= '0' then
        present = 1
    else
        redis.call('DEL', KEYS[1])
    end
end

epoch = string.format('%.0f', epoch)

redis.call('HSET', KEYS[1], 'e', epoch, 'o', ARGV[1], 'x', ARGV[3])

if present == 1 then
    redis.call('PERSIST', KEYS[1])
end

return { epoch, s[2] or '', present }
