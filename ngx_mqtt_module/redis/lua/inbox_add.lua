-- Adds a frame to the inbox of a worker.
--
-- KEYS[1]  `{w:<owner>}i`
-- ARGV[1]  frames that the inbox may hold, about
-- ARGV[2]  seconds after which it is gone if nothing is added
-- ARGV[3]  frame
-- ARGV[4]  `1` when the command is repeated: the frame may be there already
--
-- Returns the number of frames in the inbox, and how many were dropped.

local before = redis.call('XLEN', KEYS[1])

if ARGV[4] == '1' then
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'f', ARGV[3],
               'r', '1')
else
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'f', ARGV[3])
end

redis.call('EXPIRE', KEYS[1], ARGV[2])

local length = redis.call('XLEN', KEYS[1])

return { length, before + 1 - length }
