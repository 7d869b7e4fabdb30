"""The doctor on real parts that are not well."""

import json
import os
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.checks import browser, machine, redis_server, service, site, stores
from cli.checks.finding import Finding, Level
from tests.harness.ports import free_port
from tests.harness.redis_server import RedisServer
from tests.harness.s3_proxy import Status, Unconditional
from tests.harness.s3_server import S3Server
from tests.harness.service import COMMAND, REPOSITORY
from whatsapp_contract.settings import Settings


def look(server: RedisServer, credentials: str = "") -> dict[str, Finding]:
    url = f"redis://{credentials}127.0.0.1:{server.port}/0"
    settings = Settings.from_env({"REDIS_URL": url, "WHATSAPP_SESSION_ID": "a-b", "INSTANCE_ID": "c.d"})
    return {finding.name: finding for finding in redis_server.look(settings, service_runs=True)}


def bad_ones(findings: dict[str, Finding]) -> set[str]:
    return {name for name, finding in findings.items() if finding.level is not Level.OK}


# -- Redis -----------------------------------------------------------------------------------------------------------


def test_a_redis_that_is_well_is_left_as_it_was(redis_server: RedisServer) -> None:
    findings = look(redis_server)
    assert bad_ones(findings) == set()
    assert len(findings) == 6
    with redis_server.client() as client:
        assert client.dbsize() == 0


def test_a_redis_that_forgets_is_told(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("appendonly", "no")
        assert bad_ones(look(redis_server)) == {"redis eviction", "redis persistence"}
        client.config_set("maxmemory", "10gb")
    findings = look(redis_server)
    assert findings["redis eviction"].level is Level.BAD
    assert "noeviction" in str(findings["redis eviction"].advice)


def test_a_redis_that_is_full_is_told(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.config_set("maxmemory", "1kb")
    findings = look(redis_server)
    assert {name for name, each in findings.items() if each.level is Level.BAD} == {"redis memory", "redis rights"}
    assert "full" in findings["redis rights"].found


@pytest.mark.parametrize(
    ("rules", "refused"),
    [
        (("~*", "&*", "+@all", "-@write"), "SET"),
        (("~whatsapp:*", "&*", "+@all"), "SET"),
        (("~*", "&*", "+@all", "-@stream"), "XADD"),
        (("~*", "&*", "+@all", "-@scripting"), "EVAL"),
        (("~*", "resetchannels", "+@all"), "SUBSCRIBE"),
    ],
)
def test_rights_that_are_missing_are_named(redis_server: RedisServer, rules: tuple[str, ...], refused: str) -> None:
    with redis_server.client() as client:
        client.execute_command("ACL", "SETUSER", "ours", "on", ">s3cret", *rules)
        findings = look(redis_server, "ours:s3cret@")
        assert bad_ones(findings) == {"redis rights"}
        assert refused in findings["redis rights"].found
        assert "ACL SETUSER" in str(findings["redis rights"].advice)
        assert client.dbsize() == 0


def test_without_the_right_to_info_the_rest_is_looked_at(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.execute_command("ACL", "SETUSER", "ours", "on", ">s3cret", "~*", "&*", "+@all", "-info")
    findings = look(redis_server, "ours:s3cret@")
    assert findings["redis"].level is Level.WARN
    assert findings["redis rights"].level is Level.OK


def test_a_wrong_password_is_told_but_not_shown(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.config_set("requirepass", "right-one")
    for credentials in ("", ":wrong-one@"):
        (finding,) = look(redis_server, credentials).values()
        assert "REDIS_PASSWORD" in str(finding.advice)
        assert "-one" not in str(finding)


def test_a_replica_is_told(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.replicaof("127.0.0.1", str(free_port()))
    assert "replica" in look(redis_server)["redis rights"].found


def test_a_frozen_redis_holds_nobody_up(redis_server: RedisServer) -> None:
    redis_server.freeze()
    started = time.monotonic()
    (finding,) = look(redis_server).values()
    assert time.monotonic() - started < 20
    assert "frozen" in str(finding.advice)


def test_a_redis_that_is_away_is_told(tmp_path: Path) -> None:
    (finding,) = look(RedisServer(tmp_path)).values()
    assert "nothing listens" in finding.found
    settings = Settings.from_env({"REDIS_HOST": "no-such-host.invalid"})
    (finding,) = redis_server.look(settings, service_runs=False)
    assert (finding.level, "not known" in finding.found) == (Level.BAD, True)


# -- stores ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


def stores_of(server: S3Server, **variables: str) -> list[Finding]:
    server.reset()
    return stores.look(Settings.from_env(server.settings() | variables))


def test_a_bucket_with_all_rights_is_left_as_it_was(server: S3Server) -> None:
    sessions, files = stores_of(server)
    assert (sessions.level, files.found) == (Level.OK, "the same")
    assert "conditional" in sessions.found
    assert server.keys() == []


def test_a_bucket_without_rights_is_told(server: S3Server) -> None:
    server.admin.create_bucket(Bucket="of-somebody-else")
    sessions, files = stores_of(server, BUCKET_STATE_NAME="of-somebody-else")
    assert (sessions.level, files.level) == (Level.BAD, Level.BAD)
    assert "s3:GetObject, s3:PutObject and s3:DeleteObject" in sessions.found
    sessions, files = stores_of(server, MEDIA_BUCKET="of-somebody-else")
    assert (sessions.level, files.level) == (Level.OK, Level.BAD)


def test_wrong_keys_are_told_but_not_shown(server: S3Server) -> None:
    wrong = "wrong-secret-of-the-test"
    findings = stores_of(server, BUCKET_STATE_SECRET_KEY=wrong)
    assert findings[0].level is Level.BAD
    assert "BUCKET_STATE_SECRET_KEY" in findings[0].found
    assert wrong not in str(findings)
    assert server.access_key not in str(findings)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_single_right_that_is_missing_is_told(server: S3Server, method: str) -> None:
    server.reset()
    server.faults.add(Status(403, "AccessDenied"), method=method)
    sessions, _ = stores.look(Settings.from_env(server.settings()))
    assert sessions.level is Level.BAD
    assert "s3:DeleteObject" in sessions.found


def test_a_store_without_conditional_writes_is_told(server: S3Server) -> None:
    server.reset()
    server.faults.add(Unconditional())
    sessions, files = stores.look(Settings.from_env(server.settings()))
    assert (sessions.level, files.level) == (Level.WARN, Level.WARN)


def test_a_store_that_is_away_is_told() -> None:
    settings = Settings.from_env(
        {
            "BUCKET_STATE_NAME": "some",
            "BUCKET_STATE_ACCESS_KEY": "access",
            "BUCKET_STATE_SECRET_KEY": "secret",
            "S3_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}",
        }
    )
    assert stores.look(settings)[0].level is Level.BAD


def test_a_folder_that_was_never_used_is_not_made(tmp_path: Path) -> None:
    settings = Settings.from_env({"DATA_DIR": str(tmp_path / "data")})
    assert {finding.level for finding in [*stores.look(settings), *machine.disk(settings)]} == {Level.OK}
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_is_probed_and_left_as_it_was(tmp_path: Path) -> None:
    settings = Settings.from_env({"DATA_DIR": str(tmp_path)})
    folder = tmp_path / "store"
    folder.mkdir()
    (folder / "~lock").touch()
    assert "conditional" in stores.look(settings)[0].found
    assert [path.name for path in folder.iterdir()] == ["~lock"]


# -- browser, site, supervisord --------------------------------------------------------------------------------------


def script(path: Path, text: str) -> Settings:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return Settings.from_env({"PUPPETEER_EXECUTABLE_PATH": str(path)})


def test_the_browser_tells_its_version_or_why_not(tmp_path: Path) -> None:
    assert browser.browser(Settings.from_env({}))[0].level is Level.OK
    broken = script(tmp_path / "broken", "echo 'cannot open libnss3.so' >&2; exit 127")
    (finding,) = browser.browser(broken)
    assert finding.level is Level.BAD
    assert "libnss3.so" in finding.found
    (finding,) = browser.browser(Settings.from_env({"PUPPETEER_EXECUTABLE_PATH": str(tmp_path / "none")}))
    assert "PUPPETEER_EXECUTABLE_PATH" in str(finding.advice)


def test_a_browser_that_hangs_is_ended(tmp_path: Path) -> None:
    started = time.monotonic()
    (finding,) = browser.browser(script(tmp_path / "hangs", "sleep 60 & wait"), version_within_s=0.3)
    assert time.monotonic() - started < 30
    assert "says nothing" in finding.found


def test_a_site_that_is_not_to_be_had_is_told_step_by_step() -> None:
    def told(url: str) -> str:
        (finding,) = site.look(Settings.from_env({"WHATSAPP_WEB_URL": url}))
        assert finding.level is Level.BAD
        return finding.found

    assert "name no-such-host.invalid is not known" in told("https://no-such-host.invalid/")
    assert "cannot be had" in told(f"http://127.0.0.1:{free_port()}/")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def answer_with(data: bytes) -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(data)

        for url, data, found in (
            (f"https://127.0.0.1:{port}/", b"HTTP/1.1 400 Bad Request\r\n\r\n", "no TLS"),
            (f"http://127.0.0.1:{port}/", b"what?\r\n", "is not answered"),
            (f"http://127.0.0.1:{port}/", b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", "HTTP status 503"),
        ):
            thread = threading.Thread(target=answer_with, args=(data,))
            thread.start()
            assert found in told(url)
            thread.join()


def test_a_frozen_supervisord_is_told(tmp_path: Path) -> None:
    settings = Settings.from_env({"RUN_DIR": str(tmp_path)})
    assert not service.service_runs(settings)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(service.socket_path(settings)))
        server.listen(1)
        assert service.service_runs(settings)
        (finding,) = service.supervisord(settings, runs=True)
    assert (finding.level, "hangs" in str(finding.advice)) == (Level.BAD, True)


# -- all of it, where no service runs --------------------------------------------------------------------------------


def doctor(environ: dict[str, str], *before: str) -> tuple[int, Any, str]:
    """Exit code, findings by name (the last of a name), all that was printed."""
    given = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
    done = subprocess.run(
        [*before, COMMAND, "doctor", "--json"],
        env=given | environ,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    document = json.loads(done.stdout)
    assert document["well"] is (done.returncode == 0)
    return done.returncode, {check["name"]: check for check in document["checks"]}, done.stdout


def test_broken_settings_leave_the_rest_to_be_looked_at(tmp_path: Path) -> None:
    code, findings, printed = doctor(
        {
            "DATA_DIR": str(tmp_path),
            "REDIS_URL": "redis://:s3cret-word@redis:x/0",
            "WHATSAPP_WEB_URL": "nowhere",
            "SESSION_ENCRYPTION_KEY": "s3cret-key",
        }
    )
    assert code == 1
    assert {name for name, each in findings.items() if "not looked at" in each["found"]} == {
        "encryption",
        "redis",
        "site",
        "watchdog",
        "webhooks",
        "agent",
    }
    assert findings["browser"]["level"] == findings["wa-js"]["level"] == findings["disk"]["level"] == "ok"
    assert "s3cret" not in printed


def test_a_frozen_redis_does_not_hold_up_the_whole(redis_server: RedisServer, tmp_path: Path) -> None:
    environ = {"DATA_DIR": str(tmp_path), "REDIS_HOST": "127.0.0.1"}
    redis_server.freeze()
    began = time.monotonic()
    doctor(environ | {"REDIS_PORT": str(free_port())})
    started = time.monotonic()
    code, findings, _ = doctor(environ | {"REDIS_PORT": str(redis_server.port)})
    # Asked one after the other, those that need it would wait for twenty seconds longer than with none.
    assert time.monotonic() - started < started - began + 15
    assert (code, findings["redis"]["level"], findings["session store"]["level"]) == (1, "bad", "ok")


# Root may write everywhere, unless it gives that up.
LIKE_ANYBODY = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.getuid() == 0 else ()


def test_a_folder_without_rights_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "store").mkdir(parents=True)
    (folder / "store" / "~lock").touch()
    (folder / "store" / "~lock").chmod(0o400)
    folder.chmod(0o500)
    environ = {"DATA_DIR": str(folder), "REDIS_PORT": str(free_port())}
    code, findings, _ = doctor(environ, *LIKE_ANYBODY)
    assert (code, findings["disk"]["level"], findings["session store"]["level"]) == (1, "bad", "bad")
    assert f"chmod u+rwx {folder}" in findings["disk"]["advice"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o500
    folder.chmod(0o700)


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_a_folder_of_another_owner_is_told(tmp_path: Path) -> None:
    environ = {"DATA_DIR": str(tmp_path), "REDIS_PORT": str(free_port())}
    (tmp_path / "api-token").touch(mode=0o600)
    os.chown(tmp_path / "api-token", 65534, 65534)
    assert doctor(environ)[1]["disk"]["level"] == "warn"
    code, findings, _ = doctor(environ, *LIKE_ANYBODY)
    assert (code, findings["disk"]["level"]) == (1, "bad")
    assert f"chown -R 0 {tmp_path}" in findings["disk"]["advice"]
