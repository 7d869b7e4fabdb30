"""What of the sends has to happen in one step in Redis."""

# KEYS: record, the chat's list, open, queue, chats. ARGV: the record, idempotency key, now, the queue's message, chat.
# Accepts a send: its record, its place in its chat, and the task that carries it, all or none. Answers the record that
# is there already, or nil.
ACCEPT_LUA = """
local kept = redis.call('GET', KEYS[1])
if kept then return kept end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('RPUSH', KEYS[2], ARGV[2])
redis.call('ZADD', KEYS[3], ARGV[3], ARGV[2])
redis.call('LPUSH', KEYS[4], ARGV[4])
redis.call('SADD', KEYS[5], ARGV[5])
return false
"""

# KEYS: fence, the chat's list, open, chats. ARGV: epoch, idempotency key, chat, what a record's key begins with.
# A send's place in its chat, 0 at the head. Entries at the head whose send has ended, or is not known any more, are
# dropped: nothing else would ever take them away. A send that has lost its place gets the last, unless it has ended
# meanwhile: then -1. Answers -2 to an agent that does not hold the session any more.
POSITION_LUA = """
if (tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0') or 0) > tonumber(ARGV[1]) then return -2 end
local function is_open(key)
  local kept = redis.call('GET', ARGV[4] .. key)
  if not kept then return false end
  local readable, record = pcall(cjson.decode, kept)
  return readable and record.status == 'queued'
end
if not is_open(ARGV[2]) then return -1 end
local head = redis.call('LINDEX', KEYS[2], 0)
while head and head ~= ARGV[2] and not is_open(head) do
  redis.call('LREM', KEYS[2], 0, head)
  redis.call('ZREM', KEYS[3], head)
  head = redis.call('LINDEX', KEYS[2], 0)
end
local place = redis.call('LPOS', KEYS[2], ARGV[2])
if place then return place end
redis.call('SADD', KEYS[4], ARGV[3])
return redis.call('RPUSH', KEYS[2], ARGV[2]) - 1
"""

# KEYS: queue, due, chats. ARGV: what a chat's list begins with, what the queue's message begins and ends with, then
# chats. The heads of these chats are carried now: those that wait for their time, and those that are nowhere to be
# found. (A worker may have one of them in its hands: then it is carried once more, which finds it done or under way.)
# Chats without an open send are forgotten.
WAKE_LUA = """
local queued = nil
for i = 4, #ARGV do
  local head = redis.call('LINDEX', ARGV[1] .. ARGV[i], 0)
  if not head then
    redis.call('SREM', KEYS[3], ARGV[i])
  else
    local message = ARGV[2] .. head .. ARGV[3]
    if not queued then
      queued = {}
      for _, one in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do queued[one] = true end
    end
    redis.call('ZREM', KEYS[2], message)
    if not queued[message] then
      redis.call('LPUSH', KEYS[1], message)
      queued[message] = true
    end
  end
end
"""
