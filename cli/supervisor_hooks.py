"""Five habits of supervisord's, changed from inside its process.

supervisord loads this as an RPC interface, the one extension point that is called in its own process; there is
nothing to call.
"""

import contextlib
import os
import signal
from typing import Any

from supervisor import events
from supervisor.medusa import asyncore_25 as asyncore
from supervisor.states import ProcessStates, SupervisorStates

FATAL_EXIT_CODE = 70  # EX_SOFTWARE

FIRST = ("redis", "browser-agent")
LAST = "redis"
TRIED_AGAIN_AT = events.Tick60Event
OPTIONAL = "webhooks"  # the session, the agent and the API go on without it

fatal_programs: list[str] = []


def install(supervisord: Any, **_config: Any) -> object:
    """Called by supervisord when it opens its RPC interfaces."""

    def start_first_ones(_event: Any) -> None:
        """Its loop sleeps for a second before it starts the first program. What brings the session up need not wait
        for that; the others then do not take the processors from it."""
        for group in sorted(supervisord.process_groups.values()):
            if group.config.name in FIRST:
                group.transition()

    def end_service(event: Any) -> None:
        """It would go on without the program, and exit with 0 in the end: nobody outside would know."""
        name = event.process.config.name
        if name == OPTIONAL:
            supervisord.options.logger.critical(
                f"{name} cannot be kept running, and is started again within a minute: see why above. Until it runs "
                "nothing is posted; events wait in the stream. The service goes on"
            )
            return
        fatal_programs.append(name)
        supervisord.options.logger.critical(f"{name} cannot be kept running: the service ends")
        supervisord.options.mood = SupervisorStates.SHUTDOWN

    def start_optional_again(_event: Any) -> None:
        """It would leave it for ever: what was in its way may have passed."""
        if supervisord.options.mood != SupervisorStates.RUNNING:
            return
        group = supervisord.process_groups.get(OPTIONAL)
        process = group.processes[OPTIONAL] if group is not None else None
        if process is not None and process.get_state() == ProcessStates.FATAL:
            process.spawn()

    def stop_together(_event: Any) -> None:
        """It would stop one program after the other, and sleep for up to a second after each. Only Redis has to wait,
        for what the others still write to it."""
        groups = supervisord.stop_groups
        last = [group for group in groups if group.config.name == LAST]
        supervisord.stop_groups = [*last, _Together([group for group in groups if group not in last])]

    wake = _Wake()
    asyncore.socket_map[wake.fd] = wake
    events.subscribe(events.SupervisorRunningEvent, start_first_ones)
    events.subscribe(events.SupervisorStoppingEvent, stop_together)
    events.subscribe(events.ProcessStateFatalEvent, end_service)
    events.subscribe(TRIED_AGAIN_AT, start_optional_again)
    return object()


class _Wake:
    """Ends its loop's sleep when a signal comes: a program that ended, or SIGTERM, is seen at once rather than within
    a second. This is what the loop asks of a socket."""

    def __init__(self) -> None:
        self.fd, writable = os.pipe()
        os.set_blocking(self.fd, False)
        os.set_blocking(writable, False)
        signal.set_wakeup_fd(writable, warn_on_full_buffer=False)

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def handle_read_event(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self.fd, 4096)

    def handle_error(self) -> None:
        """What it asks for after an exception; none is raised above."""


class _Together:
    """Groups that stop as one: what supervisord's loop asks of a group that is to stop."""

    def __init__(self, groups: list[Any]) -> None:
        self._groups = groups

    def stop_all(self) -> None:
        for group in reversed(self._groups):
            group.stop_all()

    def get_unstopped_processes(self) -> list[Any]:
        return [process for group in self._groups for process in group.get_unstopped_processes()]
