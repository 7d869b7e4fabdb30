"""`make audit` and what it calls: a program that does not end is ended, and silence is no good news."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.harness.waiting import wait_until
from tools.supply import REPOSITORY, run

HANGS = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", *sys.argv[1:]])
time.sleep(600)
"""
NOTHING_FOUND = {
    "pip-audit": {"dependencies": [{"name": "one", "version": "1", "vulns": []}]},
    "npm": {"metadata": {"vulnerabilities": {"total": 0}}},
}
A_HOLE = {"dependencies": [{"name": "one", "version": "1", "vulns": [{"id": "GHSA-1", "fix_versions": ["2"]}]}]}
SKIPPED = {"dependencies": [{"name": "one", "skip_reason": "not found"}]}


def running(mark: str) -> list[psutil.Process]:
    return [process for process in psutil.process_iter(["cmdline"]) if mark in (process.info["cmdline"] or ())]


def test_a_program_that_does_not_end_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    mark = str(tmp_path)
    done = run(sys.executable, "-c", HANGS, mark, within_s=2)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "")
    assert done.stderr.endswith("gave no answer within 2 s")
    wait_until(lambda: not running(mark), 60, "it is gone, and what it started")


def test_what_ends_in_time_has_its_output_and_its_code() -> None:
    done = run("sh", "-c", "pwd; echo no >&2; exit 3", within_s=30)
    assert (done.returncode, done.stdout, done.stderr) == (3, f"{REPOSITORY}\n", "no\n")


def audit(folder: Path, answers: dict[str, object]) -> "subprocess.CompletedProcess[str]":
    """With programs that answer so, or not at all."""
    programs = folder / "bin"
    programs.mkdir()
    (programs / "python").symlink_to(sys.executable)
    for name in NOTHING_FOUND:
        says = f"echo '{json.dumps(answers[name])}'" if name in answers else "echo cannot ask >&2; exit 1"
        (programs / name).write_text(f"#!/bin/sh\n{says}\n")
        (programs / name).chmod(0o755)
    environ = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    command = [str(programs / "python"), "-m", "tools.audit"]
    return subprocess.run(
        command, cwd=REPOSITORY, env=environ, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("changed", "code", "said"),
    [
        ({}, 0, "package-lock.json: audited, 0 holes"),
        ({"pip-audit": None}, 2, "requirements.lock: NOT AUDITED: cannot ask"),
        ({"pip-audit": SKIPPED}, 2, "requirements.lock: NOT AUDITED: 1 of 1 packages: not found"),
        ({"npm": None}, 2, "package-lock.json: NOT AUDITED: cannot ask"),
        ({"npm": None, "pip-audit": A_HOLE}, 1, "requirements.lock: one 1: GHSA-1, mended by 2"),
    ],
)
def test_a_source_that_cannot_be_asked_is_no_good_news(
    tmp_path: Path, changed: dict[str, object], code: int, said: str
) -> None:
    answers = {name: answer for name, answer in {**NOTHING_FOUND, **changed}.items() if answer is not None}
    done = audit(tmp_path, answers)
    assert said in done.stdout.splitlines()
    assert done.returncode == code, done.stderr
