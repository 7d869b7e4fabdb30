"""supervisord's XML-RPC over its unix socket, with a deadline on every call (supervisor's own client has none)."""

import http.client
import socket
import time
import xmlrpc.client
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .clock import age_of

CALL_WITHIN_S = 2.0
STOP_WITHIN_S = 8.0  # longer than the agent's stopwaitsecs
KILLED_WITHIN_S = 3.0

_NOT_RUNNING, _ALREADY_STARTED = 70, 60
_STOPPED_STATES = frozenset({"STOPPED", "EXITED", "FATAL"})


class SupervisorUnavailable(Exception):
    """supervisord does not answer, or refuses."""


@dataclass(frozen=True)
class ProcessState:
    """`running_s` is how long ago one that is RUNNING was started, by a clock that nobody steps; by supervisord's only
    where its process is not seen from here. 0 in every other state."""

    name: str  # STOPPED, STARTING, RUNNING, BACKOFF, STOPPING, EXITED, FATAL
    running_s: float
    pid: int


class ProcessControl:
    """One supervisord. Raises SupervisorUnavailable."""

    def __init__(self, socket_path: Path, stop_within_s: float = STOP_WITHIN_S) -> None:
        self._socket_path = socket_path
        self._stop_within_s = stop_within_s

    def programs(self) -> list[str]:
        """The names of all programs."""
        return [info["name"] for info in self._call("getAllProcessInfo")]

    def state(self, program: str) -> ProcessState:
        """What supervisord says of a program."""
        info = self._call("getProcessInfo", program)
        pid, running_s = int(info["pid"]), 0.0
        if info["statename"] == "RUNNING":
            age_s = age_of(pid)
            running_s = float(info["now"] - info["start"]) if age_s is None else age_s
        return ProcessState(info["statename"], running_s, pid)

    def kill(self, program: str) -> None:
        """SIGKILL: the only way with a program that is frozen; autorestart brings it back. One that does not run is
        started."""
        if self._call("signalProcess", program, "KILL", unless=_NOT_RUNNING) is None:
            self.start(program)

    def restart(self, program: str) -> None:
        """Stop it as `stop` does, and start it."""
        self.stop(program)
        self.start(program)

    def stop(self, program: str) -> None:
        """Stop it and wait until it is stopped. One that does not stop in time is killed."""
        self._call("stopProcess", program, False, unless=_NOT_RUNNING)
        if not self._stopped(program, self._stop_within_s):
            self._call("signalProcess", program, "KILL", unless=_NOT_RUNNING)
            if not self._stopped(program, KILLED_WITHIN_S):
                raise SupervisorUnavailable(f"{program} did not end, nor when it was killed")

    def start(self, program: str) -> None:
        """Start it, unless it runs."""
        self._call("startProcess", program, False, unless=_ALREADY_STARTED)

    def _stopped(self, program: str, within_s: float) -> bool:
        deadline = time.monotonic() + within_s
        while self.state(program).name not in _STOPPED_STATES:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def _call(self, method: str, *args: Any, unless: int | None = None) -> Any:
        with xmlrpc.client.ServerProxy("http://supervisor", transport=_UnixTransport(self._socket_path)) as proxy:
            try:
                return getattr(proxy.supervisor, method)(*args)
            except xmlrpc.client.Fault as fault:
                if fault.faultCode == unless:
                    return None
                raise SupervisorUnavailable(f"{method}: {fault.faultString}") from None
            except (OSError, http.client.HTTPException, xmlrpc.client.ProtocolError) as error:
                raise SupervisorUnavailable(f"{method}: {error}") from None


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, socket_path: Path) -> None:
        super().__init__()
        self._socket_path = socket_path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        connection = _UnixConnection(self._socket_path)
        self._connection = host, connection  # where Transport.close looks for it
        return connection


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, socket_path: Path) -> None:
        super().__init__("supervisor", timeout=CALL_WITHIN_S)
        self._socket_path = socket_path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)  # closed with the connection
        self.sock.settimeout(CALL_WITHIN_S)
        self.sock.connect(str(self._socket_path))
