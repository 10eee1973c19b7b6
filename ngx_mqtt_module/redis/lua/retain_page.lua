-- Looks up the retained messages of one parent that a filter matches, a page
-- at a time.
--
-- KEYS[1]  messages of this parent, see retain_set.lua
-- KEYS[2]  topics of this parent
-- KEYS[3]  expiry times of this parent
-- ARGV[1]  filter, its first level is the parent
-- ARGV[2]  the cursor that the last page returned; empty: from the start
-- ARGV[3]  the generation that is listed; empty: it was not looked up there
-- ARGV[4]  now, ms
-- ARGV[5]  messages, ARGV[6] bytes of messages, ARGV[7] steps of a page
--
-- Returns { cursor or "" at the end; the generation that is not to be listed
-- any longer or ""; messages ... }.
--
-- Topics are walked in the order of their tree.  What cannot match is left
-- out by subtrees: a topic that does not match tells where the next one that
-- may match stands, so a step costs O(log n) however large the subtree is.

local BATCH = 16

local levels = {}

for level in (ARGV[1] .. '/'):gmatch('([^/]*)/') do
    levels[#levels + 1] = level
end

-- what all topics that match begin with

local fixed = levels[1]

for i = 2, #levels do
    if levels[i] == '+' or levels[i] == '#' then
        break
    end

    fixed = fixed .. '\0' .. levels[i]
end

-- byte by byte: the operator of Lua depends on the locale

local function before(a, b)
    for i = 1, math.min(#a, #b) do
        local x, y = a:byte(i), b:byte(i)

        if x ~= y then
            return x < y
        end
    end

    return #a < #b
end

-- whether a topic matches, and where the next one that may do so stands

local function look(topic)
    local pos = 1

    for _, level in ipairs(levels) do
        if level == '#' then
            return true, '(' .. topic
        end

        if pos > #topic + 1 then
            if level == '+' then
                return false, '(' .. topic
            end

            return false, '[' .. topic .. '\0' .. level
        end

        local stop = topic:find('%z', pos) or #topic + 1
        local name = topic:sub(pos, stop - 1)

        if level ~= '+' and level ~= name then
            if before(name, level) then
                return false, '[' .. topic:sub(1, pos - 1) .. level
            end

            return false, '[' .. topic:sub(1, pos - 2) .. '\1'
        end

        pos = stop + 1
    end

    return pos > #topic + 1, '[' .. topic:sub(1, pos - 2) .. '\1'
end

local result = { '', '' }

for _, topic in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', ARGV[4],
                                  'LIMIT', 0, BATCH)) do
    redis.call('ZREM', KEYS[2], (topic:gsub('/', '\0')))
    redis.call('ZREM', KEYS[3], topic)
    redis.call('HDEL', KEYS[1], topic)
end

local mark = redis.call('HGET', KEYS[1], '')

if mark and redis.call('HLEN', KEYS[1]) == 1 then
    redis.call('DEL', KEYS[1])
    result[2] = mark:sub(2)

elseif ARGV[3] ~= '' and (not mark or mark:sub(2) ~= ARGV[3]) then
    result[2] = ARGV[3]
end

local from = ARGV[2] ~= '' and ARGV[2] or '[' .. fixed
local bytes = 0

for _ = 1, tonumber(ARGV[7]) do
    local topics = redis.call('ZRANGEBYLEX', KEYS[2], from,
                              '(' .. fixed .. '\1', 'LIMIT', 0, BATCH)

    for _, topic in ipairs(topics) do
        local matches

        matches, from = look(topic)

        if matches then
            local message = redis.call('HGET', KEYS[1],
                                       (topic:gsub('%z', '/')))
            if message then
                result[#result + 1] = message
                bytes = bytes + #message
            end

            if #result - 2 >= tonumber(ARGV[5])
               or bytes >= tonumber(ARGV[6])
            then
                result[1] = from
                return result
            end
        end
    end

    if #topics < BATCH then
        return result
    end
end

result[1] = from

return result
