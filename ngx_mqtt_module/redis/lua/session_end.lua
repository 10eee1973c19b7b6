-- Ends what is to end of a session: its connection, the delay of its will, the
-- session itself.
--
-- KEYS[1], KEYS[2]  session, see claim.lua, and its inbox
-- ARGV[1]  owner who asks: a will that is due is his to publish, and the end
--          of a connection is his to tell
-- ARGV[2]  epoch of the claim whose connection is gone; a stale one changes
--          nothing; empty: none
-- ARGV[3]  owner who is dead, and his connection with him; empty: none
-- ARGV[4]  seconds the session lives on without the connection; "0": it ends
--          now; "-1": for ever; empty: as was claimed
-- ARGV[5]  "1": the connection was lost, "0": its will is discarded; empty:
--          the owner of ARGV[3] has lost his claim, only what he has to tell
--          is taken from him
-- ARGV[6]  "1": that the connection of ARGV[2] is gone is to be told, "0": it
--          is not; absent: nothing is ever told
--
-- Returns { 1, 2 when the session has ended, 0 when somebody else has claimed
-- it since, -1 when there is none; when something is due again, ms, or "";
-- wills that are the owner's to publish, number and message; filters whose
-- readers are to be detached, filter and epoch; connections that are the
-- owner's to tell the end of, epoch and what is told }.

local s = redis.call('HMGET', KEYS[1], 'e', 'o', 'x', 't', 'w', 'd', 'a')
local mine, theirs = ARGV[1] .. ' ', ARGV[3] .. ' '
local wills, filters, told = {}, {}, {}

if not s[1] then
    return { -1, '', wills, filters, told }
end

if ARGV[2] ~= '' and ARGV[2] ~= s[1] then

    -- whoever has claimed the session has left the end of the connection to
    -- its owner

    local name = 'c' .. ARGV[2]
    local value = ARGV[6] and redis.call('HGET', KEYS[1], name)

    if value and value:sub(1, #mine) == mine then
        if ARGV[6] == '1' then
            told = { ARGV[2], value:sub(#mine + 1) }
        else
            redis.call('HDEL', KEYS[1], name)

            if s[2] == '' and s[3] == '0'
               and redis.call('HLEN', KEYS[1]) == 3
            then
                redis.call('DEL', KEYS[1])
            end
        end
    end

    return { 0, '', wills, filters, told }
end

local epoch, owner, expiry = s[1], s[2], s[3]
local ends, will, due = tonumber(s[4]), s[5], tonumber(s[6])
local gone = owner ~= '' and (ARGV[2] ~= '' or owner == ARGV[3])
             and ARGV[5] ~= ''

-- nobody is told of what an owner has claimed without knowing it

local tell = s[7] and (ARGV[2] == '' and ARGV[3] ~= ARGV[1]
                       or ARGV[6] == '1')

if gone and ARGV[4] == '0' and not tell
   and redis.call('HLEN', KEYS[1]) == (s[7] and 4 or 3)
then
    redis.call('DEL', KEYS[1])
    return { 2, '', wills, filters, told }
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

if gone then
    owner = ''

    if ARGV[4] ~= '' then
        expiry = ARGV[4]
    end

    if expiry ~= '-1' then
        ends = now + tonumber(expiry) * 1000
    end

    if will then
        due = now + tonumber(will:match('^%d+')) * 1000

        if ends and ends < due then
            due = ends
        end

        if ARGV[5] ~= '1' then
            redis.call('HDEL', KEYS[1], 'w')
            will = false
        end
    end

    -- an owner who is not dead after all may not write any more

    if ARGV[2] == '' then
        epoch = math.max(time[1] * 1000000 + time[2], tonumber(epoch) + 1)
        epoch = string.format('%.0f', epoch)
    end

    if s[7] then
        redis.call('HDEL', KEYS[1], 'a')
    end

    if tell then
        redis.call('HSET', KEYS[1], 'c' .. s[1], mine .. s[7])
    end

    redis.call('HSET', KEYS[1], 'e', epoch, 'o', '', 'x', expiry)
end

local over = owner == '' and (expiry == '0' or ends and now >= ends)

if will and owner == '' and (over or now >= due) then
    redis.call('HSET', KEYS[1], 'p' .. s[1],
               ARGV[1] .. ' ' .. will:sub(will:find(':', 1, true) + 1))
    redis.call('HDEL', KEYS[1], 'w', 'd')
    will = false
end

-- what is left

local all = redis.call('HGETALL', KEYS[1])
local subscribed, left = false, false

for i = 1, #all, 2 do
    local name, value = all[i], all[i + 1]
    local kind, rest = name:sub(1, 1), name:sub(2)

    if kind == 's' and over then
        redis.call('HDEL', KEYS[1], name)
        redis.call('HSET', KEYS[1], 'g' .. rest, s[1])

        kind = 'g'
        value = s[1]
    end

    if kind == 's' then
        subscribed = true

    elseif kind == 'q' and over then
        redis.call('HDEL', KEYS[1], name)

    elseif kind == 'g' then
        left = true

        -- the owner has been told when he claimed the session

        if owner == '' then
            filters[#filters + 1] = rest
            filters[#filters + 1] = value
        end

    elseif kind == 'p' or kind == 'c' then
        left = true

        if ARGV[3] ~= '' and value:sub(1, #theirs) == theirs
           and (kind == 'c' or ARGV[5] ~= '')
        then
            value = mine .. value:sub(#theirs + 1)
            redis.call('HSET', KEYS[1], name, value)
        end

        if value:sub(1, #mine) == mine then
            local list = kind == 'p' and wills or told

            list[#list + 1] = rest
            list[#list + 1] = value:sub(#mine + 1)
        end
    end
end

if owner ~= '' then
    return { 1, '', wills, filters, told }
end

if over then
    redis.call('DEL', KEYS[2])

    if left then
        redis.call('HSET', KEYS[1], 'x', '0')
        redis.call('HDEL', KEYS[1], 't', 'v', 'n')
    else
        redis.call('DEL', KEYS[1])
    end

    return { 2, '', wills, filters, told }
end

if not subscribed and not left and not will then

    -- nothing is to be done at the end

    if ends then
        redis.call('HDEL', KEYS[1], 't')
        redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', ends))

        local ttl = redis.call('PTTL', KEYS[2])

        if ttl < 0 or ttl > ends - now then
            redis.call('PEXPIREAT', KEYS[2], string.format('%.0f', ends))
        end
    end

    return { 1, '', wills, filters, told }
end

local next

if ends then
    next = string.format('%.0f', ends)
    redis.call('HSET', KEYS[1], 't', next)
end

if will then
    next = string.format('%.0f', due)
    redis.call('HSET', KEYS[1], 'd', next)
end

return { 1, next or '', wills, filters, told }
