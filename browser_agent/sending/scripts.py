"""What of the sends has to happen in one step in Redis."""

# KEYS: record, the chat's list, open, queue. ARGV: the record, idempotency key, now, the queue's message.
# Accepts a send: its record, its place in its chat, and the task that carries it, all or none. Answers the record that
# is there already, or nil.
ACCEPT_LUA = """
local kept = redis.call('GET', KEYS[1])
if kept then return kept end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('RPUSH', KEYS[2], ARGV[2])
redis.call('ZADD', KEYS[3], ARGV[3], ARGV[2])
redis.call('LPUSH', KEYS[4], ARGV[4])
return false
"""

# KEYS: queue, due. ARGV: "all" or "waiting", then messages. Those that wait for their time are carried now, in this
# order; with "all" also those that are nowhere to be found. (A worker may have one of them in its hands: then it is
# carried once more, which finds it done or under way.)
WAKE_LUA = """
for i = 2, #ARGV do
  local message = ARGV[i]
  if redis.call('ZREM', KEYS[2], message) == 1
      or (ARGV[1] == 'all' and not redis.call('LPOS', KEYS[1], message)) then
    redis.call('LPUSH', KEYS[1], message)
  end
end
"""
