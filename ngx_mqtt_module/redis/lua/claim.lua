-- Claims a session for the connection that asks (CONNECT).
--
-- KEYS[1]  session: hash of e (epoch), o (owner), x (expiry, seconds) and what
--          else is listed in docs/redis.md
-- ARGV[1]  owner: node, slot and generation of the worker
-- ARGV[2]  "1" to start clean
-- ARGV[3]  expiry interval once it is released, seconds; "0": none
--
-- Returns { epoch; previous owner or ""; session present; the s* and v fields
-- of a session that is present, name and value; filters whose readers are to
-- be detached, filter and epoch }.
--
-- The epoch is the time in microseconds, or one more than the last one where
-- the clock stands behind it: so it grows for a client id for ever, although
-- nothing is kept of a session that has ended.

local s = redis.call('HMGET', KEYS[1], 'e', 'o', 'x')
local time = redis.call('TIME')
local epoch = time[1] * 1000000 + time[2]
local present = 0
local fields, filters = {}, {}

if s[1] then
    local last = tonumber(s[1])

    if epoch <= last then
        epoch = last + 1
    end

    if ARGV[2] ~= '1' and s[3] ~= '0' then
        present = 1
    end

    if redis.call('HLEN', KEYS[1]) > 3 then
        local all = redis.call('HGETALL', KEYS[1])

        for i = 1, #all, 2 do
            local name, value = all[i], all[i + 1]
            local kind, filter = name:sub(1, 1), name:sub(2)

            if kind == 's' and present == 0 then
                redis.call('HDEL', KEYS[1], name)
                redis.call('HSET', KEYS[1], 'g' .. filter, s[1])

                kind = 'g'
                value = s[1]
            end

            if kind == 'g' then
                filters[#filters + 1] = filter
                filters[#filters + 1] = value

            elseif name == 'v' and present == 0 then
                redis.call('HDEL', KEYS[1], name)

            elseif kind == 's' or name == 'v' then
                fields[#fields + 1] = name
                fields[#fields + 1] = value
            end
        end
    end

    redis.call('PERSIST', KEYS[1])
end

epoch = string.format('%.0f', epoch)

redis.call('HSET', KEYS[1], 'e', epoch, 'o', ARGV[1], 'x', ARGV[3])

return { epoch, s[2] or '', present, fields, filters }
