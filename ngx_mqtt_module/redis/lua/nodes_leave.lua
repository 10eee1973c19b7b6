-- Takes a worker that has ended out of the index of all workers.
--
-- KEYS[1], KEYS[2], KEYS[3], KEYS[4]  see nodes_set
-- ARGV[1]  owner
-- ARGV[2]  how many changes are kept
--
-- Returns 1, or 0 when it is not there.

redis.call('DEL', KEYS[4])

if redis.call('ZREM', KEYS[3], ARGV[1]) == 0 then
    return 0
end

redis.call('HINCRBY', KEYS[1], 'v', 1)
redis.call('RPUSH', KEYS[2], '-' .. ARGV[1])
redis.call('LTRIM', KEYS[2], -tonumber(ARGV[2]), -1)

return 1
