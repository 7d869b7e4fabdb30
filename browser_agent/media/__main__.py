"""python -m browser_agent.media: requests as JSON lines on stdin, several at once; answers on stdout."""

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from pydantic import BaseModel

from browser_agent.session.errors import SessionError
from whatsapp_contract import logs
from whatsapp_contract.errors import ContractError
from whatsapp_contract.logs import get_logger
from whatsapp_contract.settings import Settings

from .requests import Line, MediaWorkError, Ready, error_to_line, from_line, to_line
from .work import Work

log = get_logger(__name__)

THREADS = 16  # uploads, which the agent limits, and what must not wait for them


def main() -> int:
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # the logs' stdout
    settings = Settings.from_env(os.environ)
    logs.configure(
        "media", settings.log_level, settings.log_format, settings.secrets(), on_terminal=settings.log_on_terminal
    )
    serving = _Serving(Work(settings), answers.write)
    answers.write(to_line(0, Ready(), is_note=True))
    with ThreadPoolExecutor(THREADS, thread_name_prefix="media") as pool:
        for line in sys.stdin.buffer:
            pool.submit(serving.serve, from_line(line))
        # The agent has closed our stdin: nobody waits for what is under way.
        pool.shutdown(wait=False, cancel_futures=True)
        os._exit(0)


class _Serving:
    def __init__(self, work: Work, write: Callable[[bytes], object]) -> None:
        self._work = work
        self._write = write
        self._one = threading.Lock()

    def serve(self, line: Line) -> None:
        def tell(note: BaseModel) -> None:
            self._say(to_line(line.number, note, is_note=True))

        try:
            answer = to_line(line.number, self._work.do(line.message, tell))
        except (MediaWorkError, SessionError, ContractError) as error:
            answer = error_to_line(line.number, error)
        except Exception as error:
            log.exception("the media process failed with a bug", request=type(line.message).__name__)
            answer = error_to_line(line.number, error)
        self._say(answer)

    def _say(self, line: bytes) -> None:
        with self._one:
            self._write(line)


if __name__ == "__main__":
    sys.exit(main())
