"""A restart of the agent, asked for by a person: a task for the worker beside it, which alone may restart it."""

from whatsapp_contract.names import InstanceNames

from .task_queue import task_queue
from .tasks import restart_agent


def restart_request(names: InstanceNames, cause: str) -> tuple[str, bytes]:
    """The list to push it to on the left, and the message. The queue is of the instance that holds the session, which
    need not be the asker's. It expires as any task of its kind."""
    task = restart_agent.s(cause)
    task.resolve_expires(task_queue.utc)
    message: bytes = task_queue.serialize_task(task)
    return names.queue_list, message
