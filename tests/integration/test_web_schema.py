"""What the HTTP API answers is what /openapi.json says, whatever it is asked: by schemathesis against the running
process. A seed that it prints repeats it: `schemathesis run ... --seed`."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.answering_agent import AnsweringAgent
from tests.harness.redis_server import RedisServer
from tests.harness.waiting import wait_until
from tests.harness.web_process import API_TOKEN, SESSION, WebProcess, ready_status
from whatsapp_contract.names import SessionNames

NAMES = SessionNames(SESSION)
# In an environment of its own: structlog would load rich, which comes with it, into every process that is tested here.
SCHEMATHESIS = Path(__file__).parents[2] / ".venv-supply/bin/schemathesis"
EXAMPLES = int(os.environ.get("API_EXAMPLES", "3"))  # of each operation; more for who has the time
# It never ends: tests/integration/test_web_stream.py follows it.
WITHOUT = ("/api/events/stream",)


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebProcess]:
    """Beside a session that is ready and an agent that answers."""
    folder = tmp_path_factory.mktemp("schema")
    with (
        RedisServer(folder / "redis") as redis,
        WebProcess(redis, folder / "web", API_RATE="100000") as process,
        AnsweringAgent(redis.url, SESSION),
        redis.client() as client,
    ):
        client.hset(NAMES.status, mapping=ready_status().to_hash())
        wait_until(lambda: client.pubsub_numsub(NAMES.commands)[0][1], 10, "the agent listens")
        yield process


@pytest.mark.timeout(400)
def test_no_answer_is_a_failure_or_undocumented(web: WebProcess, tmp_path: Path) -> None:
    assert SCHEMATHESIS.exists(), "run: make setup-supply"
    command = [
        str(SCHEMATHESIS),
        "--config-file",
        str(Path(__file__).with_name("schemathesis.toml")),
        "run",
        f"{web.url}/openapi.json",
        *("--header", f"Authorization: Bearer {API_TOKEN}"),
        *("--max-examples", str(EXAMPLES)),
        *(word for path in WITHOUT for word in ("--exclude-path", path)),
        "--no-color",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=360, check=False)
    assert done.returncode == 0, done.stdout[-12_000:] + done.stderr[-2_000:]
    tested = re.search(r"Tested: (\d+)", done.stdout)
    assert tested is not None
    assert int(tested.group(1)) >= 45
    assert "Traceback" not in web.log()
