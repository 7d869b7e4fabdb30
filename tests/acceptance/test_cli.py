"""The command line against the running service: what it prints, and its exit codes."""

import json
import socket
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tests.harness.ports import free_port
from tests.harness.service import COMMAND, PROGRAMS, REPOSITORY, SESSION, Service
from tests.harness.waiting import wait_until
from tests.whatsapp_web.client import WhatsAppWeb
from tests.whatsapp_web.people import FAMILY
from whatsapp_contract.history import Minute, read_last_day


def run(environ: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [COMMAND, *arguments], env=environ, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False
    )


def run_json(service: Service, *arguments: str) -> tuple[int, Any]:
    done = run(service.environ, *arguments, "--json")
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(autouse=True)
def well_before(ready_service: Service) -> None:
    wait_until(lambda: ready_service.status().verdict == "healthy", 60, "healthy")


def test_status_and_check_say_that_it_is_ready(ready_service: Service) -> None:
    code, status = run_json(ready_service, "status")
    assert (code, status["state"], status["verdict"]) == (0, "ready", "healthy")
    code, check = run_json(ready_service, "check")
    assert (code, check["verdict"]) == (0, "healthy")
    text = run(ready_service.environ, "status").stdout
    assert f"session    {SESSION}" in text
    assert "healthy (ready)" in text


def scrape(service: Service) -> str:
    request = Request(f"http://127.0.0.1:{service.port}/metrics")
    request.add_header("Authorization", f"Bearer {service.environ['API_TOKEN']}")
    with urlopen(request, timeout=20) as answer:
        text: str = answer.read().decode()
    return text


def test_a_scrape_says_that_it_is_ready(ready_service: Service) -> None:
    wait_until(lambda: listens(ready_service.port), 60, "the web process listens")  # it starts two seconds later
    text = scrape(ready_service)
    assert "\nwhatsapp_ready 1.0\n" in text
    assert "\nwhatsapp_agent_starts_total " in text
    assert "whatsapp_group_pending_events" in text
    assert "\nwhatsapp_lease_held 1.0\n" in text


def test_checks_are_in_the_history_and_their_latency_in_the_scrape(
    ready_service: Service, whatsapp: WhatsAppWeb
) -> None:
    key = whatsapp.deliver_text("to be counted")
    ready_service.wait_event("message", where=lambda data: data["key"] == key)
    wait_until(lambda: listens(ready_service.port), 60, "the web process listens")

    def samples() -> dict[str, float]:
        lines = (line.rpartition(" ") for line in scrape(ready_service).splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in lines}

    def checked() -> bool:
        return samples()['whatsapp_checks_total{outcome="healthy"}'] >= 2

    wait_until(checked, 60, "checks are counted")
    found = samples()
    assert found["whatsapp_check_duration_seconds_count"] >= 2
    assert found['whatsapp_check_duration_seconds_bucket{le="+Inf"}'] >= 2
    assert found["whatsapp_check_duration_seconds_sum"] > 0
    assert found["whatsapp_ticks_taken_total"] >= 2
    assert found['whatsapp_messages_in_total{source="live"}'] >= 1
    for program in ("supervisord", *PROGRAMS):
        assert found[f'whatsapp_process_memory_bytes{{process="{program}"}}'] > 1024 * 1024, program

    def minutes() -> list[Minute]:
        return [
            one for one in read_last_day(ready_service.redis, ready_service.client.names, datetime.now(UTC)) if one
        ]

    assert sum(minute.checks for minute in minutes()) >= 2
    # That in which it was scanned is as its worst check.
    wait_until(
        lambda: any(one.verdict == "healthy" and one.p50_ms is not None for one in minutes()), 100, "a healthy minute"
    )


def test_no_code_on_show_is_exit_code_4(ready_service: Service) -> None:
    code, answer = run_json(ready_service, "qr")
    assert (code, answer["error"]["code"]) == (4, "no_qr")


def test_any_command_can_be_called(ready_service: Service) -> None:
    code, answer = run_json(ready_service, "call", "list_groups", '{"members": true}')
    assert (code, answer["groups"][0]["id"]) == (0, FAMILY.id)
    code, answer = run_json(ready_service, "call", "list_groups", '{"mistaken": true}')
    assert (code, answer["error"]) == (2, {"code": "bad_arguments", "message": "mistaken: no such argument"})


def test_reset_is_proven(ready_service: Service) -> None:
    before = ready_service.last_event_id()
    code, result = run_json(ready_service, "reset", "--cause", "by hand")
    assert (code, result["proven"]) == (0, True)
    assert ready_service.wait_event("reset", after=before).data["cause"] == "by hand"


def test_restart_gives_a_new_agent_and_restart_browser_a_new_browser(ready_service: Service) -> None:
    before, epoch = ready_service.last_event_id(), ready_service.status().epoch
    code, result = run_json(ready_service, "restart", "--cause", "by hand")
    assert (code, result["epoch"]) == (0, epoch + 1)
    assert ready_service.wait_event("restarted", after=before).data["cause"] == "by hand"
    ready_service.wait_event("ready", after=before)
    browser = ready_service.status().browser_pid
    code, result = run_json(ready_service, "restart", "--browser")
    assert code == 0
    assert result["browser_pid"] != browser


def test_events_of_the_past_by_type_and_those_that_come(ready_service: Service, whatsapp: WhatsAppWeb) -> None:
    done = run(ready_service.environ, "events", "--type", "ready", "--last", "1", "--json")
    (line,) = done.stdout.splitlines()
    assert json.loads(line)["type"] == "ready"
    with subprocess.Popen(
        [COMMAND, "events", "--follow", "--last", "0", "--type", "message", "--json"],
        env=ready_service.environ | {"PYTHONUNBUFFERED": "1"},
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
    ) as following:
        assert following.stdout is not None
        # Until it follows, nothing that comes is sure to be shown: write again and again.
        keys: set[str] = set()

        def followed() -> bool:
            keys.add(whatsapp.deliver_text("to be followed"))
            return any(process["cmd"] == "xread" for process in ready_service.redis.client_list())

        wait_until(followed, 60, "the command follows the stream", every_s=0.2)
        keys.add(whatsapp.deliver_text("the last"))
        first = json.loads(following.stdout.readline())
        assert first["data"]["key"] in keys
        following.terminate()


def test_logout_asks_first(ready_service: Service) -> None:
    done = run(ready_service.environ, "logout")
    assert done.returncode == 1
    assert ready_service.status().state == "ready"


def test_redis_away_is_exit_code_5_and_no_agent_3(ready_service: Service, tmp_path: Path) -> None:
    environ = ready_service.environ | {"REDIS_PORT": str(free_port())}
    for command in ("status", "check", "reset", "qr", "restart"):
        done = run(environ, command, "--json")
        assert (done.returncode, json.loads(done.stdout)["error"]["code"]) == (5, "redis_away")
    environ = ready_service.environ | {"WHATSAPP_SESSION_ID": "another"}
    assert run(environ, "status").returncode == 3
    assert run(environ, "check").returncode == 3


def test_bad_settings_are_exit_code_2(ready_service: Service) -> None:
    done = run(ready_service.environ | {"PORT": "x"}, "status")
    assert done.returncode == 2
    assert "PORT" in done.stderr


def test_the_last_thing_logout_shows_a_code(ready_service: Service, whatsapp: WhatsAppWeb) -> None:
    before = ready_service.last_event_id()
    code, _ = run_json(ready_service, "logout", "--yes")
    assert code == 0
    shown = ready_service.wait_event("qr", after=before)
    code, qr = run_json(ready_service, "qr")
    assert (code, qr["payload"]) == (0, shown.data["payload"])
    assert "█" in run(ready_service.environ, "qr").stdout
    assert run_json(ready_service, "status")[0] == 4
    whatsapp.scan(shown.data["payload"])
    ready_service.wait_event("ready", after=before)
