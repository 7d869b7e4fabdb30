"""One POST of a webhook: where it may go, for how long it is waited for, what is made of an answer."""

import itertools
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.harness.certificates import certificate
from tests.harness.ports import free_port
from tests.harness.webhook_receiver import Post, receiving
from webhooks import posting
from webhooks.posting import Answer, NoAnswer, Poster
from whatsapp_contract import public_addresses

LOCAL = frozenset({"127.0.0.1", "localhost"})
OK = b"HTTP/1.1 204 No Content\r\n\r\n"


@contextmanager
def speaking(speak: Callable[[socket.socket, int], None], context: ssl.SSLContext | None = None) -> Iterator[int]:
    """A server that does as `speak` says with each connection, counted from 0; its port."""
    numbers = itertools.count()

    def serve(connection: socket.socket) -> None:
        try:
            with context.wrap_socket(connection, server_side=True) if context else connection as speaker:
                speak(speaker, next(numbers))
        except OSError:
            pass

    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def request(connection: socket.socket) -> bytes:
    """The next one, of a body `{}`."""
    found = b""
    while not found.endswith(b"\r\n\r\n{}"):
        piece = connection.recv(10_000)
        if not piece:
            raise OSError
        found += piece
    return found


def says(*pieces: bytes, every_s: float = 0.0) -> Callable[[socket.socket, int], None]:
    """The same answer to each request, in pieces."""

    def speak(connection: socket.socket, _number: int) -> None:
        while True:
            request(connection)
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(every_s)

    return speak


def posted(url: str, hosts: frozenset[str] = LOCAL, **deadlines: float) -> Answer:
    poster = Poster(url, hosts, **deadlines)
    try:
        return poster.post(b"{}", {"X-Given": "1"})
    finally:
        poster.close()


def test_a_connection_is_kept() -> None:
    with receiving() as receiver:
        poster = Poster(f"{receiver.url}?a=1%20&b", LOCAL)
        assert [poster.post(b"{}", {}).status for _ in range(3)] == [204] * 3
        poster.close()
    assert len({post.connection for post in receiver.posts}) == 1
    assert receiver.posts[0].path == "/hook?a=1%20&b"
    assert receiver.posts[0].headers["host"] == f"127.0.0.1:{receiver.port}"


def test_one_that_was_kept_and_is_closed_is_made_anew() -> None:
    def answers_once(connection: socket.socket, _number: int) -> None:
        request(connection)
        connection.sendall(OK)

    def closes_at_the_second(connection: socket.socket, number: int) -> None:
        answers_once(connection, number)
        if number == 0:
            request(connection)  # and then the end
        else:
            answers_once(connection, number)

    for speak in (answers_once, closes_at_the_second):
        with speaking(speak) as port:
            poster = Poster(f"http://127.0.0.1:{port}/", LOCAL)
            assert [poster.post(b"{}", {}).status for _ in range(2)] == [204] * 2
            poster.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]"])
def test_a_private_address_must_be_named(host: str) -> None:
    with receiving() as receiver:
        with pytest.raises(NoAnswer, match="not a public one; WEBHOOK_PRIVATE_HOSTS"):
            posted(f"http://{host}:{receiver.port}/", frozenset({"other"}))
        assert receiver.posts == []


def test_a_name_is_resolved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that answers with a public address first, and then with one of this machine's."""
    asked: list[str] = []
    connected: list[Any] = []

    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        address = "203.0.113.9" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    def connect(_self: socket.socket, where: Any) -> None:
        connected.append(where)
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(public_addresses, "is_public", lambda address: address == "203.0.113.9")
    monkeypatch.setattr(socket.socket, "connect", connect)
    with pytest.raises(NoAnswer, match="no connection: Connection refused"):
        posted("https://rebinding.example/")
    assert connected == [("203.0.113.9", 443)]
    with pytest.raises(NoAnswer, match="not a public one"):
        posted("https://rebinding.example/")


def test_one_private_address_among_public_ones_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in ("1.1.1.1", "10.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(NoAnswer, match="not a public one"):
        posted("https://both.example/")


@pytest.mark.parametrize(
    ("errno", "why"), [(socket.EAI_NONAME, "knows its host"), (socket.EAI_AGAIN, "can be asked for its host")]
)
def test_a_name_that_is_not_known(monkeypatch: pytest.MonkeyPatch, errno: int, why: str) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(errno, "as the resolver says")

    monkeypatch.setattr(socket, "getaddrinfo", fails)
    with pytest.raises(NoAnswer, match=why):
        posted("https://unknown.example/")


def test_a_slow_name_server_takes_nothing_from_the_connection_s_time(monkeypatch: pytest.MonkeyPatch) -> None:
    real, waited_s = time.monotonic, 0.0

    def resolve(_host: str, port: int, **_: Any) -> list[Any]:
        nonlocal waited_s
        waited_s = 60.0
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    given: list[float] = []

    def connect(_found: Any, timeout_s: Callable[[], float]) -> socket.socket:
        given.append(timeout_s())
        raise public_addresses.NotConnected

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(time, "monotonic", lambda: real() + waited_s)
    monkeypatch.setattr(public_addresses, "connect", connect)
    with pytest.raises(NoAnswer, match="no connection"):
        posted("http://localhost/", connect_within_s=50)
    assert given[0] > 1


def test_a_socket_that_cannot_be_had_is_one_address_less(monkeypatch: pytest.MonkeyPatch) -> None:
    """As without IPv6 in the kernel, where a name has an address of both kinds."""
    with receiving() as receiver:
        found: list[Any] = [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", receiver.port, 0, 0))]
        found_here = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", receiver.port))]
        real = socket.socket

        def make(family: int = -1, *rest: Any, **named: Any) -> socket.socket:
            if family == socket.AF_INET6:
                raise OSError(97, "Address family not supported by protocol")
            return real(family, *rest, **named)

        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        monkeypatch.setattr(socket, "socket", make)
        with pytest.raises(NoAnswer, match="no connection: Address family not supported"):
            posted("http://localhost/")
        found += found_here
        assert posted("http://localhost/").status == 204


def test_a_redirect_is_an_answer_and_leads_nowhere() -> None:
    with receiving() as other:

        def leads_on(_post: Post) -> tuple[int, dict[str, str]]:
            return 307, {"Location": other.url}

        with receiving(answer=leads_on) as receiver:
            assert posted(receiver.url).status == 307
        assert other.posts == []


def test_no_proxy_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as proxy, receiving() as receiver:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert posted(receiver.url).status == 204
        assert proxy.posts == []


def test_nobody_listens() -> None:
    with pytest.raises(NoAnswer, match="no connection: Connection refused"):
        posted(f"http://127.0.0.1:{free_port()}/")


def test_the_deadline_holds_however_slowly_bytes_come() -> None:
    def trickles(connection: socket.socket, _number: int) -> None:
        request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-A: ")
        while True:
            connection.sendall(b"x")
            time.sleep(0.05)

    def is_silent(connection: socket.socket, _number: int) -> None:
        while connection.recv(1000):
            pass

    for speak in (trickles, is_silent):
        with speaking(speak) as port:
            started = time.monotonic()
            with pytest.raises(NoAnswer, match="no answer in time"):
                posted(f"http://127.0.0.1:{port}/", answer_within_s=0.5)
            assert time.monotonic() - started < 5


def test_a_server_that_takes_no_body_is_not_waited_for() -> None:
    gate = threading.Event()

    def reads_nothing(_connection: socket.socket, _number: int) -> None:
        gate.wait(30)

    with speaking(reads_nothing) as port:
        poster = Poster(f"http://127.0.0.1:{port}/", LOCAL, answer_within_s=0.5)
        started = time.monotonic()
        with pytest.raises(NoAnswer, match="no answer in time"):
            poster.post(bytes(20_000_000), {})
        assert time.monotonic() - started < 5
        gate.set()


def test_of_an_answer_only_so_much_is_read() -> None:
    """Then the connection cannot be used again; a status that is there counts, whatever becomes of the rest."""
    size = 10_000_000
    large = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size
    sent: list[int] = []

    def says_much(connection: socket.socket, _number: int) -> None:
        request(connection)
        connection.sendall(large)
        try:
            for _ in range(size // 10_000):
                connection.sendall(bytes(10_000))
                sent.append(10_000)
        except OSError:
            pass

    with speaking(says_much) as port:
        poster = Poster(f"http://127.0.0.1:{port}/", LOCAL)
        assert [poster.post(b"{}", {}).status for _ in range(2)] == [200, 200]
        poster.close()
    assert sum(sent) < 2 * size
    endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with speaking(says(endless, *[b"1\r\nx\r\n"] * 1000, every_s=0.05)) as port:
        started = time.monotonic()
        assert posted(f"http://127.0.0.1:{port}/", answer_within_s=3).status == 200
        assert time.monotonic() - started < 20


@pytest.mark.parametrize("status", [b"100 Continue", b"102 Processing", b"103 Early Hints"])
def test_what_is_said_before_the_answer_is_none(status: bytes) -> None:
    before = b"HTTP/1.1 " + status + b"\r\nLink: </a>\r\n\r\n"
    with speaking(says(before, before + OK)) as port:
        poster = Poster(f"http://127.0.0.1:{port}/", LOCAL)
        assert [poster.post(b"{}", {}).status for _ in range(2)] == [204, 204]
        poster.close()
    with speaking(says(*[before] * 100, every_s=0.05)) as port, pytest.raises(NoAnswer, match="no answer in time"):
        posted(f"http://127.0.0.1:{port}/", answer_within_s=0.5)


def test_an_answer_that_comes_before_the_body_was_read_is_one() -> None:
    def refuses_at_once(connection: socket.socket, _number: int) -> None:
        connection.recv(1)
        connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(100_000):
            pass

    with speaking(refuses_at_once) as port:
        poster = Poster(f"http://127.0.0.1:{port}/", LOCAL)
        assert poster.post(bytes(5_000_000), {}).status == 413
        poster.close()


@pytest.mark.parametrize(
    ("speak", "why"),
    [
        (says(b"220 smtp.example ESMTP\r\n"), "not HTTP"),
        (says(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200), "not HTTP"),
        (lambda connection, _number: request(connection), "closed without an answer"),
    ],
)
def test_what_is_no_answer(speak: Callable[[socket.socket, int], None], why: str) -> None:
    with speaking(speak) as port, pytest.raises(NoAnswer, match=why):
        posted(f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        *(
            ("7", 7.0),
            ("99999999999", 999999999.0),
            ("soon", None),
            ("-1", None),
            ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ),
        *(("Mon, 01 Jan 2024 00:00:00 +99999999999999999", None), ("Mon, 01 Jan 99999999999 00:00:00 GMT", None)),
        *((",", None), ("Mon, 01 Jan 2024 99:99:99 GMT", None)),
    ],
)
def test_after_how_long_it_wants_to_be_asked_again(given: str, seconds: float | None) -> None:
    with speaking(says(f"HTTP/1.1 503 No\r\nRetry-After: {given}\r\nContent-Length: 0\r\n\r\n".encode())) as port:
        assert posted(f"http://127.0.0.1:{port}/") == Answer(503, seconds)


def test_the_certificate_must_be_the_host_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right, authority = certificate(tmp_path, "localhost")
    wrong, other_authority = certificate(tmp_path, "elsewhere.example")
    monkeypatch.setattr(posting, "_contexts", [])
    with speaking(says(OK), right) as port:
        with pytest.raises(NoAnswer, match="certificate is not good"):
            posted(f"https://localhost:{port}/")
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        posting._contexts.clear()
        poster = Poster(f"https://localhost:{port}/", LOCAL)
        assert [poster.post(b"{}", {}).status for _ in range(3)] == [204] * 3
        assert poster._kept is not None
        poster.close()
    monkeypatch.setenv("SSL_CERT_FILE", str(other_authority))
    posting._contexts.clear()
    with speaking(says(OK), wrong) as port, pytest.raises(NoAnswer, match="certificate is not good"):
        posted(f"https://localhost:{port}/")


def test_a_server_that_does_not_come_to_tls() -> None:
    def is_silent(connection: socket.socket, _number: int) -> None:
        while connection.recv(1000):
            pass

    with speaking(is_silent) as port:
        started = time.monotonic()
        with pytest.raises(NoAnswer, match="no answer in time"):
            posted(f"https://localhost:{port}/", connect_within_s=0.5)
        assert time.monotonic() - started < 5
    with speaking(lambda connection, _number: connection.sendall(OK)) as port, pytest.raises(NoAnswer):
        posted(f"https://localhost:{port}/", connect_within_s=0.5)
