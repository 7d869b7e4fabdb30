"""What the image is told and asked while it is built and run: versions, licences, the health command."""

import configparser
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.main import cli
from cli.notices import npm_notices, python_notices
from cli.versions import UNKNOWN, versions


def test_the_versions_of_what_matters_are_told() -> None:
    found = versions({**os.environ, "REVISION": "abc123"})
    assert found["whatsapp-container"] == version("whatsapp-container")
    assert found["browser"].startswith(("Chromium ", "Google Chrome "))
    assert found["revision"] == "abc123"
    pinned = json.loads((Path(__file__).parents[2] / "package.json").read_text())["dependencies"]
    assert found["wa-js"] == pinned["@wppconnect/wa-js"]


def test_package_json_and_the_image_have_our_version() -> None:
    """`make sbom` and the image's labels name one."""
    packages = [
        json.loads((Path(__file__).parents[2] / name).read_text()) for name in ("package.json", "package-lock.json")
    ]
    assert {package["version"] for package in packages} == {version("whatsapp-container")}
    dockerfile = (Path(__file__).parents[2] / "Dockerfile").read_text()
    assert f"ARG VERSION={version('whatsapp-container')}\n" in dockerfile


def test_every_package_of_ours_is_installed() -> None:
    root = Path(__file__).parents[2]
    setup = configparser.ConfigParser()
    setup.read(root / "setup.cfg")
    named = set(setup["options"]["packages"].split())
    tops = {name for name in named if "." not in name}
    there = {
        str(init.parent.relative_to(root)).replace("/", ".")
        for top in tops
        for init in (root / top).rglob("__init__.py")
    }
    assert named == there


def test_what_is_not_there_has_no_version_and_bad_variables_do_not_matter() -> None:
    found = versions({"PUPPETEER_EXECUTABLE_PATH": "/nowhere", "WA_JS_PATH": "/nowhere/dist/x.js", "PORT": "none"})
    assert (found["browser"], found["wa-js"], found["revision"]) == (UNKNOWN, UNKNOWN, UNKNOWN)


def test_the_command_line_tells_them() -> None:
    told = CliRunner().invoke(cli, ["--version"])
    assert told.exit_code == 0
    assert f"whatsapp-container {version('whatsapp-container')}\n" in told.output


def test_every_package_that_is_installed_passes_on_its_licence() -> None:
    notices = {notice.name: notice for notice in python_notices()}
    assert notices["pyppeteer"].licence == "MIT"
    assert "Permission is hereby granted" in "".join(notices["huey"].texts)  # its metadata do not say
    assert [notice.name for notice in notices.values() if not notice.licence and not notice.texts] == []


def test_npm_packages_are_found_whatever_their_names(tmp_path: Path) -> None:
    for name, package in (("plain", {"license": "MIT"}), ("@scope/other", {})):
        folder = tmp_path / name
        (folder / "dist").mkdir(parents=True)
        (folder / "package.json").write_text(json.dumps({"name": name, "version": "1.0.0", **package}))
    (tmp_path / "plain" / "LICENSE").write_text("The text.")
    (tmp_path / "plain" / "dist" / "plain.js.LICENSE.txt").write_text("What is bundled.")
    (tmp_path / "plain" / "dist" / "license.js").write_text("code")
    plain, other = sorted(npm_notices(tmp_path), key=lambda notice: notice.name, reverse=True)
    assert (plain.name, plain.licence, plain.texts) == ("plain", "MIT", ("The text.", "What is bundled."))
    assert (other.name, other.licence, other.texts) == ("@scope/other", "", ())


@pytest.mark.parametrize(("status", "expected"), [(200, 0), (503, 1)])
def test_the_health_command_ends_as_healthz_answers(status: int, expected: int) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/healthz" else 404)
            self.end_headers()
            self.wfile.write(b"what it says")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.timeout = 60
        answering = threading.Thread(target=server.handle_request)
        answering.start()
        done = alive(server.server_port)
        answering.join()
    assert (done.returncode, done.stdout) == (expected, "what it says")


def test_the_health_command_fails_where_nobody_answers() -> None:
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        port = server.server_port
    done = alive(port)
    assert done.returncode == 1
    assert done.stdout.startswith("no answer")


def alive(port: int) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "cli.alive"],
        env={**os.environ, "PORT": str(port), "HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
