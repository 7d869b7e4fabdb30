"""A receiver of webhooks on the loopback, which answers as a test says and remembers what it was given."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .waiting import wait_until


@dataclass(frozen=True)
class Post:
    """One request, whatever it was answered."""

    path: str
    headers: dict[str, str]  # names in lower case
    body: bytes
    connection: int  # which one it came over
    status: int

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def code(self) -> str:
        """Of the events that tests/harness/stream.py makes."""
        return str(self.event["data"].get("code") or self.event["data"].get("key"))


@dataclass
class Receiver:
    """`answer` gives a status for a request, and headers that go with it; it may block."""

    port: int
    answer: Callable[[Post], "int | tuple[int, dict[str, str]]"] = lambda _post: 204
    posts: list[Post] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def taken(self) -> list[Post]:
        """Those that were answered with 2xx."""
        return [post for post in list(self.posts) if 200 <= post.status < 300]

    def codes(self) -> list[str]:
        return [post.code for post in self.taken()]

    def wait_taken(self, count: int, within_s: float = 30) -> list[Post]:
        """So many, or more."""
        wait_until(lambda: len(self.taken()) >= count, within_s, f"{count} events are taken")
        return self.taken()

    def wait_asked(self, count: int, within_s: float = 30) -> list[Post]:
        """So many requests, whatever they were answered."""
        wait_until(lambda: len(self.posts) >= count, within_s, f"{count} requests")
        return list(self.posts)


@contextmanager
def receiving(port: int = 0, **options: Any) -> Iterator[Receiver]:
    """One that listens; afterwards nobody does, and connections that were kept are closed."""
    receiver: Receiver
    connections: dict[int, socket.socket] = {}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told = {name.lower(): value for name, value in self.headers.items()}
            post = Post(self.path, told, body, self.client_address[1], 0)
            given = receiver.answer(post)
            status, headers = given if isinstance(given, tuple) else (given, {})
            receiver.posts.append(Post(self.path, told, body, self.client_address[1], status))
            self.send_response(status)
            for name, value in {"Content-Length": "0", **headers}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        allow_reuse_address = True

        def get_request(self) -> tuple[socket.socket, Any]:
            request, address = super().get_request()
            connections[address[1]] = request
            return request, address

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Whoever is killed takes no answer."""

    with Server(("127.0.0.1", port), Handler) as server:
        receiver = Receiver(server.server_port, **options)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
            for connection in connections.values():
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass


def slowly(seconds: float, status: int = 204) -> Callable[[Post], int]:
    """An answer that takes so long."""

    def answer(_post: Post) -> int:
        time.sleep(seconds)
        return status

    return answer
