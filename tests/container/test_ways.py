"""Ways of running it: the plainest, with a Redis beside it, with its own Redis for others. Alive while it waits."""

from collections.abc import Iterator

import pytest

from tests.harness.waiting import wait_until

from .container import Container
from .engine import Engine
from .standin import StandIn

PASSWORD = "password-that-nobody-may-see"
PORT = 6390


def is_alive(container: Container) -> bool:
    return container.engine.tried("exec", container.name, "python", "-m", "cli.alive").returncode == 0


def open_ports(container: Container) -> set[int]:
    """What listens on all addresses."""
    script = "cat /proc/net/tcp /proc/net/tcp6 | awk '$4 == \"0A\" {print $2}'"
    listening = container.shell(script).split()
    return {int(address.rpartition(":")[2], 16) for address in listening if set(address.split(":")[0]) == {"0"}}


@pytest.fixture
def redis_beside(engine: Engine, image: str, stand_in: StandIn, another_volume: str) -> Iterator[None]:
    name = f"{another_volume}-redis"
    options = ["--network", f"container:{stand_in.name}"]
    engine.run(name, image, options, ["redis-server", "--port", str(PORT), "--requirepass", PASSWORD, "--dir", "/tmp"])
    yield
    engine.remove(name)


def test_a_run_with_nothing_but_a_volume_is_enough(another: Container, engine: Engine, image: str) -> None:
    assert "cli.alive" in engine.health_check(image)
    with another.plain():
        another.wait_state("awaiting_scan")
        wait_until(lambda: "Scan with WhatsApp" in another.log(), 60, "the code is on the console", every_s=0.2)
        wait_until(lambda: is_alive(another), 60, "it is alive, though it waits", every_s=0.5)
        assert another.programs()["redis"][0] in ("STARTING", "RUNNING")
        assert another.stop() == 0


def test_a_redis_that_is_named_is_used(another: Container, redis_beside: None) -> None:
    with another.with_options(REDIS_HOST="127.0.0.1", REDIS_PORT=str(PORT), REDIS_PASSWORD=PASSWORD):
        another.wait_state("awaiting_scan")
        assert another.programs()["redis"][0] == "STOPPED"
        asked = f"redis-cli -p {PORT} --no-auth-warning -a {PASSWORD} exists whatsapp:shula-whatsapp:status"
        assert another.shell(asked).strip() == "1"


def test_its_own_redis_is_for_others_only_with_a_password(another: Container) -> None:
    with another.with_options(REDIS_PASSWORD=PASSWORD):
        another.wait_state("awaiting_scan")
        wait_until(lambda: open_ports(another) == {3100, 6379}, 60, "both listen", every_s=0.5)
        assert "NOAUTH" in another.shell("redis-cli ping")
        assert "PONG" in another.shell(f"redis-cli --no-auth-warning -a {PASSWORD} ping")
        seen = another.shell("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '")
        browser = another.shell("tr '\\0' '\\n' < /proc/$(pgrep -o -f -- --remote-debugging-port)/environ")
        assert all(PASSWORD not in where for where in (seen, browser, another.log()))
