"""Two habits of supervisord's, changed from inside its process.

supervisord loads this as an RPC interface, the one extension point that is called in its own process; there is
nothing to call.
"""

from typing import Any

from supervisor import events
from supervisor.states import SupervisorStates

FATAL_EXIT_CODE = 70  # EX_SOFTWARE

FIRST = ("redis", "browser-agent")

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
        fatal_programs.append(name)
        supervisord.options.logger.critical(f"{name} cannot be kept running: the service ends")
        supervisord.options.mood = SupervisorStates.SHUTDOWN

    events.subscribe(events.SupervisorRunningEvent, start_first_ones)
    events.subscribe(events.ProcessStateFatalEvent, end_service)
    return object()
