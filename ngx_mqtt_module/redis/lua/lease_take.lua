-- Takes over from a worker that is dead, or goes on with it: until his lease
-- ends once more nobody else does.
--
-- KEYS[1], KEYS[2], KEYS[3]  see lease.lua
-- ARGV[1]  owner who takes over
-- ARGV[2]  owner who is dead
-- ARGV[3]  length of a lease, ms
-- ARGV[4]  "1": he is known to be dead, whatever his lease says
--
-- Returns 1; 2 when his end was planned; 0 when he is not to be taken over.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local score = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[2]))
local mark = redis.call('HGET', KEYS[2], ARGV[2]) or ''
local kind, rest = mark:sub(1, 1), mark:sub(2)

if not score
   and (ARGV[4] ~= '1' or redis.call('ZSCORE', KEYS[3], ARGV[2]))
then
    return 0
end

local lapsed = not score or score <= now

if kind == 't' or kind == 'q' then
    if rest ~= ARGV[1] and not lapsed then
        return 0
    end

elseif kind ~= 'p' and ARGV[4] ~= '1'
       and not (lapsed and kind == 's' and now - rest >= tonumber(ARGV[3]))
then
    return 0
end

local planned = kind == 'p' or kind == 'q'

redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[3]), ARGV[2])
redis.call('HSET', KEYS[2], ARGV[2], (planned and 'q' or 't') .. ARGV[1])

return planned and 2 or 1
