-- Releases a session whose connection is gone.
--
-- KEYS[1]  session, see claim.lua
-- ARGV[1]  epoch of the claim; a stale one changes nothing
-- ARGV[2]  seconds the session lives on; "0": it ends now; "-1": for ever
--
-- Returns { 1, or 0 when somebody else has claimed the session since; filters
-- whose readers are to be detached, filter and epoch }.

if redis.call('HGET', KEYS[1], 'e') ~= ARGV[1] then
    return { 0, {} }
end

local filters = {}
local plain = redis.call('HLEN', KEYS[1]) == 3

if ARGV[2] == '0' and plain then
    redis.call('DEL', KEYS[1])
    return { 1, filters }
end

redis.call('HSET', KEYS[1], 'o', '', 'x', ARGV[2])

if ARGV[2] == '0' then
    local all = redis.call('HGETALL', KEYS[1])

    for i = 1, #all, 2 do
        local name, value = all[i], all[i + 1]
        local kind, filter = name:sub(1, 1), name:sub(2)

        if kind == 's' then
            redis.call('HSET', KEYS[1], 'g' .. filter, ARGV[1])

            kind = 'g'
            value = ARGV[1]

            redis.call('HDEL', KEYS[1], name)
        end

        if kind == 'g' then
            filters[#filters + 1] = filter
            filters[#filters + 1] = value
        end
    end

    redis.call('HDEL', KEYS[1], 'v')

    if #filters == 0 then
        redis.call('DEL', KEYS[1])
    end

elseif ARGV[2] ~= '-1' then
    redis.call('EXPIRE', KEYS[1], ARGV[2])
end

return { 1, filters }
