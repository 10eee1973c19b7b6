-- Claims a session for the connection that asks (CONNECT).
--
-- KEYS[1]  session: hash of e (epoch), o (owner), x (expiry, seconds) and what
--          else is listed in docs/redis.md
-- KEYS[2]  its inbox, see p2p_add.lua
-- ARGV[1]  owner: node, slot and generation of the worker
-- ARGV[2]  "1" to start clean
-- ARGV[3]  expiry interval once it is released, seconds; "0": none
-- ARGV[4]  will of the connection: its delay in seconds, ":" and the message;
--          empty: none
-- ARGV[5]  how long the inbox may hold messages, ms
-- ARGV[6]  what is told of the connection when it is gone; absent: nothing
--
-- Returns { epoch; previous owner or ""; session present; the s*, q* and v
-- fields of a session that is present, name and value, and "n" when it has an
-- inbox: the number of the last message that is done with, ":", that of the
-- last one; wills that are the owner's to publish, number and message; filters
-- whose readers are to be detached, filter and epoch; when something was due
-- of the session, ms, or "" }.
--
-- The epoch is the time in microseconds, or one more than the last one where
-- the clock stands behind it: so it grows for a client id for ever, although
-- nothing is kept of a session that has ended.

local s = redis.call('HMGET', KEYS[1], 'e', 'o', 'x', 't', 'w', 'd', 'a', 'n')
local time = redis.call('TIME')
local epoch = time[1] * 1000000 + time[2]
local present, unsettled = 0, 0
local fields, wills, filters = {}, {}, {}

if s[1] then
    local last = tonumber(s[1])
    local now = math.floor(epoch / 1000)

    if epoch <= last then
        epoch = last + 1
    end

    if ARGV[2] ~= '1' and s[3] ~= '0'
       and not (s[4] and now >= tonumber(s[4]))
    then
        present = 1
    end

    -- 3.1.3.2.2: the last will is sent unless its session is resumed before
    -- the delay is over, which begins now if the connection is still there

    if s[5] then
        local colon = s[5]:find(':', 1, true)
        local waits

        if s[6] then
            waits = now < tonumber(s[6])
        else
            waits = tonumber(s[5]:sub(1, colon - 1)) > 0
        end

        if present == 0 or not waits then
            redis.call('HSET', KEYS[1], 'p' .. s[1],
                       ARGV[1] .. ' ' .. s[5]:sub(colon + 1))
        end
    end

    -- that a connection which is still there is gone is for its owner to tell

    if s[7] then
        redis.call('HSET', KEYS[1], 'c' .. s[1], s[2] .. ' ' .. s[7])
    end

    if s[4] or s[5] or s[7] then
        redis.call('HDEL', KEYS[1], 't', 'w', 'd', 'a')
    end

    if s[8] and present == 0 then
        redis.call('HDEL', KEYS[1], 'n')
        redis.call('DEL', KEYS[2])

    elseif s[8] then
        redis.call('PEXPIRE', KEYS[2], ARGV[5])

        fields[1] = 'n'
        fields[2] = string.format('%.0f:%s',
                                  s[8] - redis.call('LLEN', KEYS[2]), s[8])
    end

    if redis.call('HLEN', KEYS[1]) > 3 then
        local all = redis.call('HGETALL', KEYS[1])
        local mine = ARGV[1] .. ' '

        for i = 1, #all, 2 do
            local name, value = all[i], all[i + 1]
            local kind, rest = name:sub(1, 1), name:sub(2)

            if kind == 's' and present == 0 then
                redis.call('HDEL', KEYS[1], name)
                redis.call('HSET', KEYS[1], 'g' .. rest, s[1])

                kind = 'g'
                value = s[1]
            end

            if kind == 'g' then
                filters[#filters + 1] = rest
                filters[#filters + 1] = value

            elseif kind == 'p' and value:sub(1, #mine) == mine then
                wills[#wills + 1] = rest
                wills[#wills + 1] = value:sub(#mine + 1)

            elseif (name == 'v' or kind == 'q') and present == 0 then
                redis.call('HDEL', KEYS[1], name)

            elseif kind == 's' or kind == 'q' or name == 'v' then
                fields[#fields + 1] = name
                fields[#fields + 1] = value

                if kind == 'q' then
                    unsettled = unsettled + 1
                end
            end
        end
    end

    -- QoS 2 publishes may be in flight there; not for ever, if nobody saves

    if present == 1 and s[2] ~= '' and unsettled < 16 then
        redis.call('HSET', KEYS[1], 'q' .. s[1], s[2])

        fields[#fields + 1] = 'q' .. s[1]
        fields[#fields + 1] = s[2]
    end

    redis.call('PERSIST', KEYS[1])
end

epoch = string.format('%.0f', epoch)

redis.call('HSET', KEYS[1], 'e', epoch, 'o', ARGV[1], 'x', ARGV[3])

if ARGV[4] ~= '' then
    redis.call('HSET', KEYS[1], 'w', ARGV[4])
end

if ARGV[6] then
    redis.call('HSET', KEYS[1], 'a', ARGV[6])
end

return { epoch, s[2] or '', present, fields, wills, filters,
         s[6] or s[4] or '' }
