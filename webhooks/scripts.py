"""What is written in one step, as Lua. `hook` is the webhook's id; times are epoch seconds."""

# KEYS: events, webhooks. ARGV: group, hook, now, how many entries are passed over, their ids, ids of entries taken.
# Only what is acknowledged by this counts.
TAKEN_LUA = """
local first, passed = 5, tonumber(ARGV[4])
if passed > 0 then redis.call('XACK', KEYS[1], ARGV[1], unpack(ARGV, first, first + passed - 1)) end
if #ARGV < first + passed then return 0 end
local count = redis.call('XACK', KEYS[1], ARGV[1], unpack(ARGV, first + passed))
local hook = ARGV[2] .. '.'
redis.call('HINCRBY', KEYS[2], hook .. 'delivered', count)
redis.call('HSET', KEYS[2], hook .. 'succeeded_at', ARGV[3])
redis.call('HDEL', KEYS[2], hook .. 'failing_since', hook .. 'dead_in_a_row')
return count
"""

# KEYS: webhooks. ARGV: hook, error, now, "1" where all wait for it. Answers since when it fails.
FAILED_LUA = """
local hook = ARGV[1] .. '.'
redis.call('HINCRBY', KEYS[1], hook .. 'failures', 1)
redis.call('HSET', KEYS[1], hook .. 'error', ARGV[2], hook .. 'failed_at', ARGV[3])
if ARGV[4] == '' then return ARGV[3] end
redis.call('HSETNX', KEYS[1], hook .. 'failing_since', ARGV[3])
return redis.call('HGET', KEYS[1], hook .. 'failing_since')
"""

# KEYS: webhooks, dead, letters, replays. ARGV: hook, letter's id, now.
REPLAYED_LUA = """
local hook = ARGV[1] .. '.'
redis.call('LREM', KEYS[4], 0, ARGV[2])
redis.call('HDEL', KEYS[3], ARGV[2])
redis.call('HINCRBY', KEYS[1], hook .. 'delivered', redis.call('ZREM', KEYS[2], ARGV[2]))
local left = redis.call('ZCARD', KEYS[2])
redis.call('HSET', KEYS[1], hook .. 'dead', left, hook .. 'succeeded_at', ARGV[3])
redis.call('HDEL', KEYS[1], hook .. 'failing_since', hook .. 'dead_in_a_row')
if left == 0 then redis.call('HDEL', KEYS[1], hook .. 'dead_at', hook .. 'dead_since') end
"""

# KEYS: webhooks, dead, letters, replays, events. ARGV: group, hook, entry's id ("" where it was a letter before),
# letter's id, letter, now, how many letters at most, seconds that end a series of them.
# Answers since when there is a series, and how many letters had to make room; {'', 0} for a letter that somebody took
# away meanwhile, which does not come back.
BURY_LUA = """
if ARGV[3] == '' and redis.call('HEXISTS', KEYS[3], ARGV[4]) == 0 then return {'', 0} end
local hook = ARGV[2] .. '.'
local is_new = redis.call('ZADD', KEYS[2], ARGV[6], ARGV[4])
redis.call('HSET', KEYS[3], ARGV[4], ARGV[5])
redis.call('LREM', KEYS[4], 0, ARGV[4])
if ARGV[3] ~= '' then redis.call('XACK', KEYS[5], ARGV[1], ARGV[3]) end
local lost = redis.call('ZRANGE', KEYS[2], 0, -1 - tonumber(ARGV[7]))
for _, id in ipairs(lost) do
  redis.call('ZREM', KEYS[2], id)
  redis.call('HDEL', KEYS[3], id)
  redis.call('LREM', KEYS[4], 0, id)
end
redis.call('HINCRBY', KEYS[1], hook .. 'lost', #lost)
redis.call('HSET', KEYS[1], hook .. 'dead', redis.call('ZCARD', KEYS[2]))
if is_new == 1 then redis.call('HINCRBY', KEYS[1], hook .. 'dead_in_a_row', 1) end
local before = redis.call('HGET', KEYS[1], hook .. 'dead_at')
if not before or tonumber(ARGV[6]) - tonumber(before) > tonumber(ARGV[8]) then
  redis.call('HSET', KEYS[1], hook .. 'dead_since', ARGV[6])
end
redis.call('HSET', KEYS[1], hook .. 'dead_at', ARGV[6])
return {redis.call('HGET', KEYS[1], hook .. 'dead_since'), #lost}
"""
