"""A restart of the agent, asked for by a person: a task for the worker beside it, which alone may restart it."""

from whatsapp_contract.names import InstanceNames

from .task_queue import task_queue
from .tasks import RESTART_EXPIRES_S, restart_agent

# KEYS: the epoch whose end is asked for, the queue. ARGV: that epoch, or nothing; the task; how long it is good (s).
# While one that is to end this very agent waits or is under way another would only end its successor.
_ASK_LUA = """
if ARGV[1] ~= '' then
  if redis.call('GET', KEYS[1]) == ARGV[1] then return 0 end
  redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[3])
end
redis.call('LPUSH', KEYS[2], ARGV[2])
return 1
"""


def restart_request(
    names: InstanceNames, cause: str, *, epoch: int | None
) -> tuple[str, int, str, str, str, bytes, str]:
    """What a client's `eval` is to be given, of either kind; it answers 1, or 0 where the end of the agent of that
    `epoch` is asked for already. Without an epoch it is asked for in any case.

    The queue is of the instance that holds the session, which need not be the asker's. The task expires as any of its
    kind.
    """
    task = restart_agent.s(cause)
    task.resolve_expires(task_queue.utc)
    message: bytes = task_queue.serialize_task(task)
    asked_for = "" if epoch is None else str(epoch)
    return _ASK_LUA, 2, names.restart_asked, names.queue_list, asked_for, message, str(RESTART_EXPIRES_S)
