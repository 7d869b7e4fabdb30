"""What `run` checks before anything is started."""

import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from cli.service import (
    CannotStart,
    checked_settings,
    embeds_redis,
    make_folders,
    redis_in_words,
    refuse_taken_port,
    take_lock,
    write_redis_config,
)
from tests.harness.ports import free_port
from tests.harness.waiting import wait_until
from tests.whatsapp_web import processes
from whatsapp_contract.redis_connection import connect
from whatsapp_contract.settings import Settings


def settings(tmp_path: Path, **variables: str) -> Settings:
    return Settings.from_env({"DATA_DIR": str(tmp_path / "data"), **variables})


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def listener() -> Iterator[int]:
    """A port whose listener answers a line with `-ERR what?`."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(100)
                    connection.sendall(b"-ERR what?\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_settings_and_cron_problems_come_in_one_list(tmp_path: Path) -> None:
    with pytest.raises(CannotStart) as caught:
        checked_settings(
            {
                "PORT": "x",
                "REDIS_URL": "http://:s3cret@redis/0",
                "HEALTH_CHECK_CRON": "often",
                "CONNECTION_RESET_CRON": "seldom",
                "SESSION_ENCRYPTION_KEY": "s3cret",
                "WA_JS_PATH": str(tmp_path / "none.js"),
                "PUPPETEER_EXECUTABLE_PATH": str(tmp_path / "no-browser"),
            }
        )
    named = [problem.partition(":")[0] for problem in caught.value.problems]
    assert named[:6] == [
        "REDIS_URL",
        "PORT",
        "HEALTH_CHECK_CRON",
        "CONNECTION_RESET_CRON",
        "SESSION_ENCRYPTION_KEY",
        "WA_JS_PATH",
    ]
    assert "PUPPETEER_EXECUTABLE_PATH" in caught.value.problems[6]
    assert "s3cret" not in str(caught.value)


def test_everything_that_is_missing_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CannotStart) as caught:
        checked_settings(
            {
                "WA_JS_PATH": str(tmp_path / "none.js"),
                "PUPPETEER_EXECUTABLE_PATH": str(tmp_path / "no-browser"),
                "REDIS_EMBEDDED": "on",
                "REDIS_HOST": "elsewhere",
                "DATA_DIR": "/tmp/" + "long" * 25,
            }
        )
    text = str(caught.value)
    assert "npm ci" in text
    assert "PUPPETEER_EXECUTABLE_PATH" in text
    assert "REDIS_EMBEDDED" in text
    assert "RUN_DIR" in text


def test_folders_are_for_their_owner_alone(tmp_path: Path) -> None:
    made = settings(tmp_path)
    make_folders(made)
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    assert made.run_dir.is_dir()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("in the way")
    with pytest.raises(CannotStart, match=f"{tmp_path}/data cannot be used: File exists"):
        make_folders(settings(tmp_path))


def test_one_service_per_data_dir(tmp_path: Path) -> None:
    made = settings(tmp_path)
    make_folders(made)
    held = take_lock(made)
    with pytest.raises(CannotStart, match="another service runs"):
        take_lock(made)
    os.close(held)
    os.close(take_lock(made))


def test_redis_is_embedded_where_nothing_else_is_named_or_found(tmp_path: Path) -> None:
    port = str(free_port())
    assert embeds_redis(settings(tmp_path, REDIS_PORT=port))
    assert not embeds_redis(settings(tmp_path, REDIS_PORT=port, REDIS_HOST="redis"))
    assert not embeds_redis(settings(tmp_path, REDIS_PORT=port, REDIS_URL="redis://redis:1/0"))
    assert not embeds_redis(settings(tmp_path, REDIS_PORT=port, REDIS_EMBEDDED="off"))


def test_which_redis_is_used_and_why_is_said_without_its_password(tmp_path: Path) -> None:
    given = settings(tmp_path, REDIS_URL="rediss://user:hidden@redis.example:6380/2")
    assert redis_in_words(given, embedded=False) == "Redis: redis.example:6380"
    own = settings(tmp_path, REDIS_PORT="7000", REDIS_PASSWORD="hidden")
    assert redis_in_words(own, embedded=True) == "Redis: its own, on 127.0.0.1:7000"
    assert "found on 127.0.0.1:7000" in redis_in_words(own, embedded=False)


def test_a_redis_that_is_found_and_wants_a_password_is_not_waited_for(tmp_path: Path) -> None:
    port = free_port()
    arguments = ["--port", str(port), "--bind", "127.0.0.1", "--requirepass", "hidden", "--save", ""]
    server = processes.start(["redis-server", *arguments, "--dir", str(tmp_path)], stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: listens(port), 60, "redis-server listens")
        with pytest.raises(CannotStart, match=f"the Redis found on port {port} wants one"):
            embeds_redis(settings(tmp_path, REDIS_PORT=str(port)))
        assert not embeds_redis(settings(tmp_path, REDIS_PORT=str(port), REDIS_PASSWORD="hidden"))
    finally:
        processes.stop(server)


def test_the_web_s_port_that_is_taken_is_named_before_anything_is_started(tmp_path: Path, listener: int) -> None:
    with pytest.raises(CannotStart, match=f"PORT: {listener} cannot be used"):
        refuse_taken_port(settings(tmp_path, PORT=str(listener)))


def test_a_port_that_is_taken_by_something_else_is_named(tmp_path: Path, listener: int) -> None:
    with pytest.raises(CannotStart, match=f"port {listener} is taken by something else"):
        embeds_redis(settings(tmp_path, REDIS_PORT=str(listener)))


@pytest.mark.parametrize(("password", "bind"), [("", "bind 127.0.0.1"), ('se"cret', "bind * -::*")])
def test_the_embedded_redis_leaves_loopback_only_with_a_password(tmp_path: Path, password: str, bind: str) -> None:
    made = settings(tmp_path, REDIS_PASSWORD=password)
    make_folders(made)
    write_redis_config(made)
    config = made.run_dir / "redis.conf"
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    lines = config.read_text().splitlines()
    assert bind in lines
    assert "appendonly yes" in lines
    assert ('requirepass "se\\"cret"' in lines) == bool(password)
    assert len([line for line in lines if line.startswith("dir ")]) == 1


@pytest.mark.parametrize("folder", ["with a space", "100%", "%(ENV_X)s", "q\"uo'te", "back\\slash", "a;b#c"])
def test_the_embedded_redis_keeps_its_data_in_a_folder_of_any_name(tmp_path: Path, folder: str) -> None:
    port = free_port()
    made = Settings.from_env(
        {"DATA_DIR": str(tmp_path / folder), "REDIS_PORT": str(port), "REDIS_PASSWORD": "a \"b\\c'\nport 1"}
    )
    make_folders(made)
    write_redis_config(made)
    server = processes.start(["redis-server", str(made.run_dir / "redis.conf")], stdout=subprocess.DEVNULL)
    try:
        with connect(made.redis_url.get_secret_value()) as client:
            wait_until(lambda: answers(client), 60, "redis-server answers")
            assert client.config_get("dir") == {"dir": str(tmp_path / folder / "redis")}
    finally:
        processes.stop(server)


def answers(client: "redis.Redis") -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


RELAYED = """
import os, resource, signal, sys
from cli.pid1 import relay_stdout
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
finish = relay_stdout()
for _ in range(3):
    os.write(1, b"x" * 100_000)  # more than the pipe holds
finish()
sys.stderr.write("went on")
"""


@pytest.mark.parametrize("kind", ["full disk", "reader gone"])
def test_output_that_cannot_be_written_stops_nobody(tmp_path: Path, kind: str) -> None:
    with (tmp_path / "log").open("wb") as log:
        reader, writer = os.pipe()
        os.close(reader)
        stdout = log.fileno() if kind == "full disk" else writer
        done = subprocess.run(
            [sys.executable, "-c", RELAYED], stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
        os.close(writer)
    assert (done.stderr, done.returncode) == ("went on", 0)
