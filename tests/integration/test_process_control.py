"""supervisord's XML-RPC, against a real supervisord with small programs."""

import os
import signal
import socket
import socketserver
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any
from xmlrpc.server import SimpleXMLRPCDispatcher, SimpleXMLRPCRequestHandler

import pytest

from tests.harness.supervisor import SLEEPER, Supervisor
from tests.harness.waiting import wait_until
from workers.clock import age_of
from workers.process_control import CALL_WITHIN_S, ProcessControl, SupervisorUnavailable

PROGRAMS = {"worker": SLEEPER.replace("stopwaitsecs=2", "stopwaitsecs=60"), "resting": SLEEPER + "\nautostart=false"}


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    with Supervisor(tmp_path, PROGRAMS) as made:
        wait_until(lambda: made.control.state("worker").name == "RUNNING", 30, "the program runs")
        yield made


def test_restarting_gives_a_new_process(supervisor: Supervisor) -> None:
    before = supervisor.control.state("worker").pid
    supervisor.control.restart("worker")
    wait_until(lambda: supervisor.control.state("worker").name == "RUNNING", 20, "it runs again")
    assert supervisor.control.state("worker").pid != before


def test_restarting_starts_what_was_stopped(supervisor: Supervisor) -> None:
    assert supervisor.control.state("resting").name == "STOPPED"
    supervisor.control.restart("resting")
    wait_until(lambda: supervisor.control.state("resting").name == "RUNNING", 20, "it runs")


def test_one_that_does_not_stop_in_time_is_killed_and_started(tmp_path: Path) -> None:
    stubborn = "command=sh -c 'trap \"\" TERM; while :; do sleep 0.1; done'\nstopwaitsecs=9\nstartsecs=0"
    with Supervisor(tmp_path, {"stubborn": stubborn}) as made:
        wait_until(lambda: made.control.state("stubborn").name == "RUNNING", 30, "the program runs")
        before = made.control.state("stubborn").pid
        started = time.monotonic()
        ProcessControl(tmp_path / "supervisor.sock", stop_within_s=0.3).restart("stubborn")
        wait_until(lambda: made.control.state("stubborn").pid not in (0, before), 20, "a new one runs")
        assert time.monotonic() - started < 8


def test_a_frozen_program_is_back_at_once_when_killed(supervisor: Supervisor) -> None:
    before = supervisor.control.state("worker").pid
    os.kill(before, signal.SIGSTOP)
    started = time.monotonic()
    supervisor.control.kill("worker")
    wait_until(lambda: supervisor.control.state("worker").pid not in (0, before), 20, "a new one runs")
    assert time.monotonic() - started < 30


def test_killing_what_does_not_run_starts_it(supervisor: Supervisor) -> None:
    supervisor.control.kill("resting")
    wait_until(lambda: supervisor.control.state("resting").name == "RUNNING", 20, "it runs")


def test_the_time_running_grows(supervisor: Supervisor) -> None:
    wait_until(lambda: supervisor.control.state("worker").running_s >= 1, 20, "it ran for a second")


class SteppedBack(socketserver.ThreadingMixIn, socketserver.UnixStreamServer, SimpleXMLRPCDispatcher):
    """A supervisord whose clock was set back by 3000 s since it started a program, which is this process."""

    class Handler(SimpleXMLRPCRequestHandler):
        rpc_paths = ("/RPC2", "/")
        disable_nagle_algorithm = False  # of TCP only

        def log_request(self, *_args: object) -> None:
            """Nobody reads it."""

    def __init__(self, path: Path) -> None:
        SimpleXMLRPCDispatcher.__init__(self)
        socketserver.UnixStreamServer.__init__(self, str(path), self.Handler)
        self.register_function(self.info, "supervisor.getProcessInfo")

    def info(self, _program: object) -> dict[str, Any]:
        now = int(time.time())
        return {"statename": "RUNNING", "now": now, "start": now + 3000, "pid": os.getpid()}


def test_a_clock_that_was_set_back_makes_no_program_younger(tmp_path: Path) -> None:
    path = tmp_path / "stepped.sock"
    with SteppedBack(path) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            age_s = age_of(os.getpid())
            assert age_s is not None
            assert age_s <= ProcessControl(path).state("worker").running_s < age_s + 60
        finally:
            server.shutdown()


def test_an_unknown_program_is_an_error(supervisor: Supervisor) -> None:
    with pytest.raises(SupervisorUnavailable, match="BAD_NAME"):
        supervisor.control.state("nobody")


def test_no_supervisor_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(SupervisorUnavailable):
        ProcessControl(tmp_path / "none.sock").state("worker")


def test_a_frozen_supervisor_is_an_error_in_time(supervisor: Supervisor) -> None:
    supervisor.process.send_signal(signal.SIGSTOP)
    started = time.monotonic()
    with pytest.raises(SupervisorUnavailable):
        supervisor.control.state("worker")
    assert time.monotonic() - started < CALL_WITHIN_S + 10


def test_a_socket_that_never_answers_is_an_error_in_time(tmp_path: Path) -> None:
    path = tmp_path / "rude.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        with pytest.raises(SupervisorUnavailable):
            ProcessControl(path).state("worker")
