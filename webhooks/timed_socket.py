"""A connection whose every byte, however slowly they come, comes before one deadline."""

import io
import socket
import time
from typing import Any


class TimedSocket:
    """What http.client needs of a socket. Set `deadline` (time.monotonic()) before each request; past it TimeoutError
    is raised. It stays open when http.client closes it, since what is left of an answer is read after that."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.deadline = 0.0

    def sendall(self, data: Any) -> None:
        view = memoryview(data)
        while view:
            self._set_timeout()
            view = view[self._sock.send(view) :]

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self), 16 * 1024)

    def close(self) -> None:
        """See above."""

    def end(self) -> None:
        self._sock.close()

    def is_dead(self) -> bool:
        """Whether the other side has closed it, or said something that nobody asked for."""
        self._sock.settimeout(0)
        try:
            self._sock.recv(1)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            return not _says_nothing_came(error)
        return True

    def receive_into(self, buffer: Any) -> int:
        self._set_timeout()
        return self._sock.recv_into(buffer)

    def _set_timeout(self) -> None:
        left_s = self.deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("timed out")
        self._sock.settimeout(left_s)


class _Reader(io.RawIOBase):
    def __init__(self, timed: TimedSocket) -> None:
        self._timed = timed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._timed.receive_into(buffer)


def _says_nothing_came(error: OSError) -> bool:
    """TLS has an error of its own for that, which is imported where there is TLS."""
    return type(error).__name__ in {"SSLWantReadError", "SSLWantWriteError"}
