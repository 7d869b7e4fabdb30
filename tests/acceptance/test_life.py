"""A session's life: scanned, ready, messages, stopped, started again without a scan, logged out."""

import configparser
import contextlib
import json
import os
import re
import signal
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from cli.checks.finding import Level
from cli.checks.service import judge_programs
from tests.harness.service import COMMAND, PROGRAMS, REPOSITORY, SESSION, Service
from tests.harness.waiting import wait_until
from tests.whatsapp_web.client import WhatsAppWeb
from tests.whatsapp_web.people import FAMILY, ME
from whatsapp_contract.addresses import NO_PHONE_NUMBER
from whatsapp_contract.errors import BadArguments, Busy, Refused

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c626001000000ffff030000060005"
    "57bfabd40000000049454e44ae426082"
)
REDIS_PASSWORD = "redis-password-of-the-test"


@pytest.fixture
def whatsapp() -> Iterator[WhatsAppWeb]:
    with WhatsAppWeb(keepalive_s=2) as whatsapp:
        yield whatsapp


@pytest.fixture(scope="module")
def waited_for() -> Iterator[WhatsAppWeb]:
    """The stand-in of the service that waits for a scan."""
    with WhatsAppWeb(keepalive_s=2) as whatsapp:
        yield whatsapp


@pytest.fixture(scope="module")
def waiting(waited_for: WhatsAppWeb) -> Iterator[Service]:
    """A service that waits for a scan, and is left so; all of it runs. Its folder's name is one to be quoted."""
    # Not in pytest's own folders: RUN_DIR is to lie below one with such a name.
    with (
        tempfile.TemporaryDirectory() as folder,
        Service(Path(folder, "9%s a'b"), waited_for.url, REDIS_PASSWORD=REDIS_PASSWORD) as service,
    ):
        service.redis.connection_pool.connection_kwargs["password"] = REDIS_PASSWORD
        service.wait_event("qr")
        wait_until(lambda: (pids := service.pids()) and all(pids.values()), 60, "all run")
        yield service


def http(service: Service, path: str, token: str | None = "token-of-the-test") -> tuple[int, bytes]:
    request = urllib.request.Request(f"http://127.0.0.1:{service.port}{path}")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
    except OSError:
        return 0, b""


def test_from_the_first_scan_through_a_restart_of_everything_to_the_logout_and_a_shutdown_by_command(
    whatsapp: WhatsAppWeb, tmp_path: Path
) -> None:
    with Service(tmp_path, whatsapp.url) as service:
        shown = service.wait_event("qr")
        assert shown.data["payload"] == whatsapp.code_on_show()
        assert shown.data["sequence"] == 1
        # An event is told a moment before, or after, what stands in Redis is written.
        kept = wait_until(lambda: service.redis.get(f"whatsapp:{SESSION}:qr"), 20, "the code is kept")
        assert json.loads(str(kept))["payload"] == shown.data["payload"]
        wait_until(lambda: "█" in service.log(), 30, "the QR code on the console")
        assert service.log().count("Scan with WhatsApp") == 1
        wait_until(lambda: http(service, "/healthz", None) == (200, b'{"status":"ok"}'), 60, "alive")
        assert http(service, "/readyz") == (503, b'{"status":"awaiting_scan"}')
        assert http(service, "/readyz", None) == (503, b'{"status":"not_ready"}')
        assert http(service, "/api/qr.png")[1].startswith(b"\x89PNG")
        assert http(service, "/api/qr.png", None)[0] == 401

        whatsapp.scan(shown.data["payload"])
        ready = service.wait_event("ready")
        assert ready.data["account"]["phone"]
        types = [event.type for event in service.events() if event.type != "state_changed"]
        assert types == ["qr", "authenticated", "ready"]
        states = [event.data["state"] for event in service.events("state_changed")]
        assert states[0] == "awaiting_scan"
        assert states[-1] == "ready"
        wait_until(lambda: http(service, "/readyz", None) == (200, b'{"status":"ready"}'), 20, "ready for all to see")
        wait_until(lambda: service.redis.get(f"whatsapp:{SESSION}:qr") is None, 20, "no code is kept")
        assert http(service, "/api/qr.png")[0] == 404

        text_key = whatsapp.deliver_text("hello")
        photo_key = whatsapp.deliver_photo(PNG, "image/png", "a photo", width=1, height=1)
        text = service.wait_event("message", where=lambda data: data["key"] == text_key)
        assert (text.data["type"], text.data["text"], text.data["media"]) == ("text", "hello", None)
        assert (text.data["chat_id"], text.data["chat_name"], text.data["is_group"]) == (
            FAMILY.id,
            FAMILY.subject,
            True,
        )
        photo = service.wait_event("message", where=lambda data: data["key"] == photo_key)
        assert (photo.data["type"], photo.data["text"]) == ("image", "a photo")
        media = photo.data["media"]
        assert (media["status"], media["mimetype"], media["size"]) == ("pending", "image/png", len(PNG))
        assert re.fullmatch(r"[0-9a-f]{64}", media["sha256"])
        assert "hello" not in service.log()
        assert "a photo" not in service.log()

        assert service.stop() == 0
        assert service.browser_processes() == []

        # Everything again, Redis included; a message came meanwhile.
        missed_key = whatsapp.deliver_text("while you were away")
        service.start()
        first_life = ready.epoch
        again = service.wait_event("ready", after=str(service.wait_event("restarted").id))
        assert again.epoch == first_life + 1
        assert service.events("qr", after=str(ready.id)) == []
        assert service.wait_event("authenticated", after=str(ready.id)).data == {"restored": True}
        service.wait_event("message", where=lambda data: data["key"] == missed_key)
        keys = [event.data["key"] for event in service.events("message")]
        # The page was stopped within moments of taking the first two: one it had not yet noted may come again.
        assert list(dict.fromkeys(keys)) == [text_key, photo_key, missed_key]

        service.client.call("logout", {"cause": "the test"})
        service.wait_state("logged_out", after=str(again.id))
        service.wait_event("disconnected", after=str(again.id), where=lambda data: data["reason"] == "logged_out")
        assert service.wait_event("qr", after=str(again.id)).data["payload"] == whatsapp.code_on_show()
        assert whatsapp.connections()["devices"] == []
        service.client.call("shutdown")
        assert service.wait_exit(60) == 0
        assert service.leftovers() == []


def test_the_code_rotates_on_console_events_and_page_and_an_idle_one_is_renewed(
    waiting: Service, waited_for: WhatsAppWeb
) -> None:
    before, first = waiting.last_event_id(), waiting.events("qr")[-1].data["sequence"]
    for show_another, sequence in ((waited_for.rotate_qr, first + 1), (waited_for.rotate_qr, first + 2)):
        show_another()
        shown = waiting.wait_event("qr", after=before, where=lambda data, n=sequence: data["sequence"] == n)  # type: ignore[misc]
        assert shown.data["payload"] == waited_for.code_on_show()
    codes = len(waiting.events("qr"))
    wait_until(lambda: waiting.log().count("Scan with WhatsApp") == codes, 30, "each code once on the console")
    waited_for.idle_qr()
    renewed = waiting.wait_event("qr", after=before, where=lambda data: data["sequence"] == first + 3)
    assert renewed.data["payload"] == waited_for.code_on_show()
    waited_for.scan(renewed.data["payload"])
    ready = str(waiting.wait_event("ready", after=before).id)
    waiting.client.call("logout", {"cause": "the test"})
    waiting.wait_event("qr", after=ready)


def test_a_code_for_a_phone_number_is_the_other_way_in(waiting: Service, waited_for: WhatsAppWeb) -> None:
    number, before = ME.phone.partition("@")[0], waiting.last_event_id()
    wait_until(lambda: waiting.client.ping().state == "awaiting_scan", 60, "a code is waited for")
    for phone in ("0333 111", "+39 (0) 333 1111111", number * 2, "120363000000000001@g.us", ""):
        with pytest.raises(BadArguments) as bad:
            waiting.client.call("pairing_code", {"phone": phone})
        assert str(bad.value) == f"phone: {NO_PHONE_NUMBER}"

    waited_for.answer_link_codes("IQErrorRateOverlimit")
    with pytest.raises(Refused, match="too many codes"):
        waiting.client.call("pairing_code", {"phone": number})
    waiting.wait_event("qr", after=before)
    wait_until(
        lambda: waiting.events("qr", after=before)[-1].data["payload"] == waited_for.code_on_show(),
        60,
        "the code on show is told again",
    )
    wait_until(lambda: waiting.status().reason is None, 60, "the status speaks of no code for a number")

    waited_for.answer_link_codes(after_s=6)
    asked = subprocess.Popen(
        [COMMAND, "pair", "--json"],
        env=waiting.environ, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert asked.stdin
        asked.stdin.write(f"+{number[:2]} {number[2:5]}-{number[5:]}\n")
        asked.stdin.flush()
        wait_until(lambda: waiting.client.ping().operation == "pairing_code", 60, "a code is asked for")
        with pytest.raises(Busy, match="pairing_code"):
            waiting.client.call("pairing_code", {"phone": number})
        told, _ = asked.communicate(timeout=60)
    finally:
        asked.kill()
        asked.wait()
    assert asked.returncode == 0
    given = json.loads(told)
    assert re.fullmatch(r"[0-9A-Z]{4}-[0-9A-Z]{4}", given["code"])
    left_s = (datetime.fromisoformat(given["expires_at"]) - datetime.now(UTC)).total_seconds()
    assert 100 < left_s < 180
    assert waited_for.link_codes_asked()[-1] == {"phone": number, "push": True}
    wait_until(lambda: waiting.redis.get(f"whatsapp:{SESSION}:qr") is None, 20, "no QR code is kept")
    wait_until(lambda: waiting.status().reason == "pairing_code", 60, "the status says why there is no QR code")

    waited_for.enter_link_code(given["code"])
    ready = waiting.wait_event("ready", after=before)
    assert waiting.wait_event("authenticated", after=before).data == {"restored": False}
    late = subprocess.run(
        [COMMAND, "pair", number],
        env=waiting.environ, cwd=REPOSITORY, capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    assert (late.returncode, late.stdout) == (4, "")
    assert given["code"] not in waiting.log()
    waiting.client.call("logout", {"cause": "the test"})
    waiting.wait_event("qr", after=str(ready.id))


def test_bad_settings_end_with_2_and_name_every_variable(tmp_path: Path) -> None:
    environ = {**os.environ, "DATA_DIR": str(tmp_path), "PORT": "x", "REDIS_PORT": "y", "HEALTH_CHECK_CRON": "z"}
    done = subprocess.run(
        [COMMAND, "run"], env=environ, cwd=REPOSITORY, capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 2
    for variable in ("PORT", "REDIS_PORT", "HEALTH_CHECK_CRON"):
        assert f"whatsapp-container: {variable}: " in done.stderr


def test_without_webhooks_what_posts_to_them_is_stopped_and_all_is_well(waiting: Service) -> None:
    def level() -> Level:
        states = {name: waiting.program(name).name for name in waiting.control.programs()}
        assert states["webhooks"] == "STOPPED"
        return judge_programs(states).level

    wait_until(lambda: level() is Level.OK, 90, "all run that should", every_s=0.2)
    assert http(waiting, "/healthz", token=None)[0] == 200


def test_a_second_service_on_the_folder_is_refused_and_the_first_goes_on(waiting: Service) -> None:
    before = waiting.pids()
    second = subprocess.run(
        [COMMAND, "run"],
        env=waiting.environ,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert second.returncode == 2
    assert "another service runs on DATA_DIR" in second.stderr
    assert waiting.pids() == before


def test_a_program_that_cannot_be_kept_running_ends_the_service_with_70(tmp_path: Path, whatsapp: WhatsAppWeb) -> None:
    service = Service(tmp_path, whatsapp.url)
    service.data_dir.joinpath("redis").mkdir(parents=True)
    service.data_dir.joinpath("redis/appendonlydir").touch()  # Redis takes a file in its folder's place for damage
    with service:
        assert service.wait_exit(120) == 70
        assert "redis cannot be kept running" in service.log()
        assert service.leftovers() == []


def test_an_agent_and_a_browser_that_hang_do_not_hold_up_a_stop(whatsapp: WhatsAppWeb, tmp_path: Path) -> None:
    """By how long it waits at most for each program it is below nine seconds; what the machine adds is not ours."""
    config = configparser.RawConfigParser()
    config.read(REPOSITORY / "supervisord.conf")
    waits_s = {
        name: config.getfloat(name, "stopwaitsecs") for name in config.sections() if name.startswith("program:")
    }
    assert waits_s.keys() == {f"program:{name}" for name in PROGRAMS} | {"program:webhooks"}
    assert max(waits_s.values()) <= 6  # all at once; only Redis comes after
    with Service(tmp_path, whatsapp.url) as service:
        service.wait_event("qr")
        wait_until(lambda: service.program("worker").name == "RUNNING", 60, "the others run too")
        os.kill(service.program("browser-agent").pid, signal.SIGSTOP)
        service.browser_processes()[0].send_signal(signal.SIGSTOP)  # SIGTERM alone does not end it now
        assert service.stop(within_s=15) == 0
        assert service.leftovers() == []


def test_supervisorctl_restarts_the_agent_as_the_readme_says(waiting: Service) -> None:
    before = waiting.events("qr")[-1]
    pid = waiting.program("browser-agent").pid
    done = subprocess.run(
        [COMMAND.parent / "supervisorctl", "restart", "browser-agent"],
        env={"PATH": os.environ["PATH"], "RUN_DIR": str(waiting.run_dir)},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert waiting.program("browser-agent").pid != pid

    def epochs() -> set[int]:
        """Of the codes told since; the former agent may have told of another one, too."""
        return {event.epoch for event in waiting.events("qr", after=str(before.id))}

    wait_until(lambda: before.epoch + 1 in epochs(), 60, "a code of the next agent's")


def test_orphans_are_reaped_and_no_secret_is_in_ps(waiting: Service) -> None:
    supervisord, last = psutil.Process(waiting.pid), waiting.last_event_id()
    seen = []
    for each in (supervisord, *supervisord.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):  # one that ended meanwhile
            seen.append(" ".join(each.cmdline()))
    lines = "\n".join(seen)
    assert REDIS_PASSWORD not in lines + waiting.log()
    assert "token-of-the-test" not in lines + waiting.log()
    for process in waiting.browser_processes():
        with contextlib.suppress(psutil.NoSuchProcess):  # one ends with another
            process.kill()
    waiting.wait_event("restarted", after=last, where=lambda data: data["what"] == "browser")

    def zombies() -> list[psutil.Process]:
        found = []
        for each in supervisord.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if each.status() == psutil.STATUS_ZOMBIE:
                    found.append(each)
        return found

    wait_until(lambda: not zombies(), 20, "no zombies")
    assert set(waiting.pids()) == set(PROGRAMS)
    waiting.wait_event("qr", after=last)
