"""The doctor beside the running service, through the command line."""

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.harness.ports import free_port
from tests.harness.service import COMMAND, INSTANCE, PROGRAMS, REPOSITORY, SESSION, Service
from tests.harness.waiting import wait_until
from whatsapp_contract.names import InstanceNames, SessionNames
from workers.remembering import LadderMemory


def doctor(environ: dict[str, str]) -> tuple[int, dict[str, Any], str]:
    """Exit code, findings by name, all that was printed."""
    done = subprocess.run(
        [COMMAND, "doctor", "--json"],
        env=environ,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    return done.returncode, {check["name"]: check for check in json.loads(done.stdout)["checks"]}, done.stdout


def all_run(service: Service) -> None:
    """A program counts as running some seconds after its start, whether it has come to do anything or not."""
    wait_until(lambda: service.status().verdict == "healthy", 60, "healthy")
    wait_until(lambda: all(service.program(name).name == "RUNNING" for name in PROGRAMS), 60, "all run")
    memory = LadderMemory(service.redis, service.client.names, InstanceNames(SESSION, INSTANCE))
    wait_until(lambda: memory.read().watched_at is not None, 60, "the watchdog has looked at the agent")


def test_all_is_well_with_a_service_that_is_well(ready_service: Service) -> None:
    all_run(ready_service)
    ready_service.client.call("backup", {"cause": "so that the store is in use"})
    browser, events = ready_service.status().browser_pid, ready_service.last_event_id()
    code, findings, printed = doctor(ready_service.environ)
    unwell = {name: each for name, each in findings.items() if each["level"] != "ok"}
    assert (code, unwell) == (0, {})
    looked_at = {"settings", "redis", "browser", "wa-js", "session store", "disk", "clock", "site", "agent"}
    assert looked_at | {"watchdog", "webhooks"} <= set(findings)
    assert "conditional" in findings["session store"]["found"]
    assert ready_service.environ["API_TOKEN"] not in printed
    # Nothing was changed, and nobody disturbed.
    assert ready_service.status().browser_pid == browser
    assert ready_service.events("state_changed", "restarted", after=events) == []


def test_it_is_one_line_a_check_with_what_to_do(ready_service: Service) -> None:
    environ = ready_service.environ | {"PORT": "x", "WHATSAPP_WEB_URL": f"http://127.0.0.1:{free_port()}/"}
    done = subprocess.run(
        [COMMAND, "doctor"], env=environ, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("bad   settings           PORT: ")
    assert lines[1].strip().startswith("-> correct this variable")
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        is_advice = line.startswith(" ")
        assert is_advice or line.split()[0] in {"ok", "warn", "bad"}
        if not is_advice:
            assert following.strip().startswith("->") is not line.startswith("ok ")


def test_redis_away_and_a_stopped_program(ready_service: Service, tmp_path: Path) -> None:
    all_run(ready_service)
    code, findings, _ = doctor(ready_service.environ | {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(free_port())})
    assert (code, findings["redis"]["level"], findings["agent"]["level"]) == (1, "bad", "warn")
    assert (findings["supervisord"]["level"], findings["watchdog"]["level"]) == ("ok", "warn")
    # Of another folder: a service that does not run.
    code, findings, _ = doctor(
        ready_service.environ
        | {"DATA_DIR": str(tmp_path), "RUN_DIR": str(tmp_path / "run"), "REDIS_PORT": str(free_port())}
    )
    assert (code, findings["redis"]["level"], findings["supervisord"]["level"]) == (0, "warn", "warn")


def test_an_agent_that_is_frozen_is_told(ready_service: Service) -> None:
    silent = ready_service.status().model_copy(update={"heartbeat_at": datetime.now(UTC) - timedelta(minutes=2)})
    fields: Any = silent.to_hash()
    ready_service.redis.hset(SessionNames("frozen-one").status, mapping=fields)
    code, findings, _ = doctor(ready_service.environ | {"WHATSAPP_SESSION_ID": "frozen-one"})
    assert (code, findings["agent"]["level"]) == (1, "bad")
    assert "last heard 2 min ago" in findings["agent"]["found"]
