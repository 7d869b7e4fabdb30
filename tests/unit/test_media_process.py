"""The child process that keeps files: what is asked of one that is just dying is answered by the next one."""

import os
import signal
from pathlib import Path

import pytest

from browser_agent.media.process import MediaProcess
from browser_agent.media.requests import Existing, Exists, ProcessDied
from browser_agent.session.errors import StoreUnavailable

ELSEWHERE = Exists(url="s3://another/file")


async def test_what_is_asked_while_the_child_dies_is_not_left_waiting(tmp_path: Path) -> None:
    process = MediaProcess({"PATH": os.environ["PATH"], "DATA_DIR": str(tmp_path), "MEDIA_STORE": "directory"})
    try:
        for _ in range(5):
            await process.ask(ELSEWHERE, Existing, 60)
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
            # The first is told of the death, and the second comes before anyone has taken the child's leave.
            for _ in range(2):
                try:
                    await process.ask(ELSEWHERE, Existing, 30)
                except ProcessDied:
                    continue
                except StoreUnavailable as error:
                    pytest.fail(f"not answered, and not told that it died: {error}")
    finally:
        await process.close()
