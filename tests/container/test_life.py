"""A life of the container, from the first start to the second one on the same volume. In the file's order."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.waiting import wait_until

from .container import PROGRAMS, Container
from .engine import Engine
from .standin import StandIn

SECRETS = {
    "API_TOKEN": "api-token-that-nobody-may-see",
    "SESSION_ENCRYPTION_KEY": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
}


@pytest.fixture(scope="module")
def container(
    engine: Engine, image: str, stand_in: StandIn, seccomp: Path | None, run_id: str, volume: str
) -> Iterator[Container]:
    with Container(engine, image, stand_in, seccomp, run_id, volume).with_options(**SECRETS) as container:
        yield container


def test_the_code_is_on_the_console_and_scanned_it_is_ready(container: Container, stand_in: StandIn) -> None:
    wait_until(lambda: "Scan with WhatsApp" in container.log(), 90, "the code is on the console", every_s=0.2)
    assert "█▀" in container.log()
    stand_in.scan()
    container.wait_state("ready")


def test_everything_runs_and_supervisord_is_the_first_process(container: Container) -> None:
    def states() -> dict[str, str]:
        return {name: state for name, (state, _) in container.programs().items()}

    expected = {**dict.fromkeys(PROGRAMS, "RUNNING"), "webhooks": "STOPPED"}
    wait_until(lambda: states() == expected, 90, "all programs run", every_s=0.5)
    assert "cli.pid1" in container.shell("tr '\\0' ' ' < /proc/1/cmdline")


def test_it_has_no_rights_to_lose(container: Container) -> None:
    status = dict(line.split(":\t", 1) for line in container.shell("cat /proc/1/status").splitlines() if ":\t" in line)
    assert status["Uid"].split() == ["10001"] * 4
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    with pytest.raises(Exception, match="Read-only file system"):
        container.shell("touch /app/x")


def test_the_health_command_answers_both_ways(container: Container) -> None:
    assert "ok" in container.exec("python", "-m", "cli.alive")
    container.exec("supervisorctl", "stop", "web")
    assert container.engine.tried("exec", container.name, "python", "-m", "cli.alive").returncode == 1
    container.exec("supervisorctl", "start", "web")
    wait_until(
        lambda: container.engine.tried("exec", container.name, "python", "-m", "cli.alive").returncode == 0,
        60,
        "it is alive again",
        every_s=0.2,
    )


def test_the_doctor_finds_nothing(container: Container) -> None:
    told = container.exec("whatsapp-container", "doctor")
    assert {line.split()[0] for line in told.splitlines() if line.strip()} == {"ok"}


def test_the_agent_is_restarted_by_supervisorctl(container: Container) -> None:
    before = container.programs()["browser-agent"][1]
    container.exec("supervisorctl", "restart", "browser-agent")
    container.wait_state("ready")
    assert container.programs()["browser-agent"][1] not in {0, before}


def test_a_killed_browser_comes_back(container: Container) -> None:
    readies = len(container.events("ready"))
    container.shell("kill -KILL $(pgrep -o -f -- --remote-debugging-port)")
    wait_until(lambda: len(container.events("ready")) > readies, 90, "ready again", every_s=0.5)


def test_orphans_are_reaped(container: Container) -> None:
    """One whose parent has left it to the first process, which must take its leave."""
    orphan = container.shell("(setsid sleep 0.2 & echo $!)").strip()
    wait_until(
        lambda: container.shell(f"ls -d /proc/{orphan} 2>/dev/null || true") == "", 10, "it is gone", every_s=0.2
    )
    states = container.shell("cat /proc/[0-9]*/stat 2>/dev/null | sed 's/.*) //' | cut -c1 | sort -u")
    assert "Z" not in states.split()


def test_devtools_listen_on_the_loopback_alone(container: Container) -> None:
    """Of all that listens only the page's port is open to others."""
    listening = container.shell("cat /proc/net/tcp /proc/net/tcp6 | awk '$4 == \"0A\" {print $2}'").split()
    open_to_all = {int(address.rpartition(":")[2], 16) for address in listening if set(address.split(":")[0]) == {"0"}}
    assert open_to_all == {3100}


def test_secrets_are_nowhere_to_be_seen(container: Container, engine: Engine) -> None:
    command_lines = container.shell("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '")
    supervisor = container.exec(
        "python",
        "-c",
        "from pathlib import Path; from workers.process_control import ProcessControl; "
        "print(ProcessControl(Path('/run/whatsapp-container/supervisor.sock'))._call('getAllProcessInfo'))",
    )
    browser = container.shell("tr '\\0' '\\n' < /proc/$(pgrep -o -f -- --remote-debugging-port)/environ")
    for name, secret in SECRETS.items():
        for where in (container.log(), command_lines, supervisor, browser):
            assert secret not in where, name


def saved_by_stops(container: Container) -> int:
    return [event["cause"] for event in container.events("session_saved")].count("stop")


def test_it_stops_within_docker_s_patience_with_the_session_saved_and_another_on_the_volume_needs_no_scan(
    container: Container, engine: Engine, image: str, stand_in: StandIn, seccomp: Path | None, volume: str, run_id: str
) -> None:
    before = saved_by_stops(container)
    assert container.stop() == 0
    assert "agent stopped" in container.log()
    with Container(engine, image, stand_in, seccomp, f"{run_id}-2", volume).with_options(**SECRETS) as second:
        second.wait_state("ready")
        assert saved_by_stops(second) == before + 1
        assert "Scan with WhatsApp" not in second.log()
        engine.call("kill", "--signal", signal.SIGTERM.name, second.name)
        assert second.wait_exit(10) == 0


def test_what_was_saved_is_all_that_a_third_one_needs(
    engine: Engine, image: str, stand_in: StandIn, seccomp: Path | None, volume: str, run_id: str
) -> None:
    """The profile itself is gone: what is left is the store, which is a directory on the volume here."""
    mount = ["--rm", "--network", "none", "--volume", f"{volume}:/data"]
    engine.call("run", *mount, image, "bash", "-c", "rm -rf /data/sessions && test -d /data/store")
    with Container(engine, image, stand_in, seccomp, f"{run_id}-3", volume).with_options(**SECRETS) as third:
        third.wait_state("ready")
        assert len(third.events("session_restored")) == 1
        assert "Scan with WhatsApp" not in third.log()
