"""The receivers in docs/examples: they take what is ours, and nothing else."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.harness.ports import free_port
from tests.harness.waiting import wait_until
from tests.whatsapp_web import processes
from webhooks.posting import NoAnswer, Poster
from webhooks.signing import headers
from whatsapp_contract.webhook_settings import secret_bytes

EXAMPLES = Path(__file__).parents[2] / "docs/examples"
SECRETS = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "plain-characters-here")
BODY = b'{"type":"message","data":{"key":"k-1"}}'


def command(name: str) -> Sequence[str]:
    """How it is run. Skips the test, and says why, where it cannot be."""
    if name.endswith(".py"):
        return [sys.executable, str(EXAMPLES / name)]
    node = shutil.which("node")
    if node is None:
        pytest.skip("THE NODE EXAMPLE WAS NOT RUN: node is missing (Debian: apt install nodejs)")
    return [node, str(EXAMPLES / name)]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("name", ["webhook.py", "webhook.mjs"])
def test_a_receiver_takes_what_is_ours(name: str, secret: str) -> None:
    port, known = free_port(), [secret_bytes(one) or b"" for one in SECRETS]
    environ = {**os.environ, "WEBHOOK_SECRET": secret}
    process = processes.start([*command(name), str(port)], env=environ, stdout=subprocess.PIPE)
    poster = Poster(f"http://127.0.0.1:{port}/", frozenset({"127.0.0.1"}))

    def answered(body: bytes, told: dict[str, str]) -> int | None:
        try:
            return poster.post(body, told).status
        except NoAnswer:
            return None

    try:
        now = int(time.time())
        wait_until(lambda: answered(BODY, {}), 30, "it answers")
        ours = headers("s1_1-0", now, BODY, known)
        assert [answered(BODY, ours), answered(BODY, ours)] == [204, 204]
        assert answered(BODY, headers("s1_2-0", now, BODY, known[::-1])) == 204
        assert answered(BODY + b" ", ours) == 401
        assert answered(BODY, ours | {"webhook-id": "s1_3-0"}) == 401
        assert answered(BODY, ours | {"webhook-timestamp": str(now + 1)}) == 401
        assert answered(BODY, headers("s1_1-0", now - 600, BODY, known)) == 401
        assert answered(BODY, headers("s1_1-0", now, BODY, [b"another-secret-of-somebody"])) == 401
        assert answered(BODY, headers("s1_1-0", now, BODY, [])) == 401
    finally:
        poster.close()
        processes.stop(process)
        assert process.stdout is not None
        said = process.stdout.read().decode().splitlines()
        process.stdout.close()
    assert said == ["message k-1"] * 2  # of three that were taken one had come before
