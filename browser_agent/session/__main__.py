"""python -m browser_agent.session: one request on stdin, its answer on stdout, logs on stderr."""

import os
import sys

from whatsapp_contract import logs
from whatsapp_contract.settings import Settings

from .errors import SessionError
from .process import error_to_wire, from_wire, to_wire
from .work import Work


def main() -> int:
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # the logs' stdout
    settings = Settings.from_env(os.environ)
    logs.configure(
        "session", settings.log_level, settings.log_format, settings.secrets(), on_terminal=settings.log_on_terminal
    )
    try:
        answer = to_wire(Work(settings).do(from_wire(sys.stdin.buffer.read())))
    except SessionError as error:
        answer = error_to_wire(error)
    with answers:
        answers.write(answer)
    return 0


if __name__ == "__main__":
    sys.exit(main())
