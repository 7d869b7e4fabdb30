"""Files that are to be sent, from servers; and from those that may not be asked."""

import http.server
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from browser_agent.sending.source.content import Fetched
from browser_agent.sending.source.fetching import check, fetch
from browser_agent.sending.source.https import NoSuchHost
from tests.harness.certificates import certificate
from tests.harness.sources import JPEG, got, rules
from whatsapp_contract import public_addresses
from whatsapp_contract.errors import ContractError, NotFound, Refused, StoreUnavailable, TooLarge
from whatsapp_contract.public_addresses import is_public

Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target"


# -- a server of the test's own --------------------------------------------------------------------------------------


@contextmanager
def serving(answers: dict[str, Answer], context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Its port, on the loopback."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                answers[self.path](self)
            except OSError:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass

    with Server(("127.0.0.1", 0), Handler) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def says(body: bytes = JPEG, status: int = 200, **headers: str) -> Answer:
    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(body)

    return answer


def leads_to(url: str) -> Answer:
    return says(b"", 302, Location=url)


def trickles(request: http.server.BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.end_headers()
    while True:
        request.wfile.write(b"x")
        time.sleep(0.05)


def trickles_in_its_head(request: http.server.BaseHTTPRequestHandler) -> None:
    while True:
        request.wfile.write(b"x")
        time.sleep(0.05)


def test_a_file_of_a_host_that_is_named(tmp_path: Path, target: Path) -> None:
    answers = {
        "/a/photo.jpg?size=large": says(Content_Type="image/jpeg"),
        "/untyped": says(Content_Disposition='attachment; filename="../us.jpeg"'),
        "/%C3%BC.pdf": says(b"%PDF-1.7", Content_Type="application/octet-stream"),
    }
    with serving(answers) as port:
        base = f"http://localhost:{port}"
        allowed = rules(tmp_path, "localhost")
        assert got(f"{base}/a/photo.jpg?size=large", target, allowed) == Fetched(len(JPEG), "image/jpeg", "photo.jpg")
        assert target.read_bytes() == JPEG
        assert got(f"{base}/untyped", target, allowed) == Fetched(len(JPEG), "image/jpeg", "us.jpeg")
        assert got(f"{base}/%C3%BC.pdf", target, allowed) == Fetched(8, "application/pdf", "ü.pdf")


def test_a_host_that_is_not_named_must_be_public_and_have_tls(tmp_path: Path, target: Path) -> None:
    with serving({"/": says()}) as port:
        for url in (f"http://127.0.0.1:{port}/", "http://example.com/"):
            with pytest.raises(Refused, match="without TLS"):
                check(url, rules(tmp_path, "localhost"))
        for host in ("127.0.0.1", "localhost", "127.1", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]"):
            with pytest.raises(Refused, match="not a public one"):
                fetch(f"https://{host}:{port}/", target, rules(tmp_path, "other"), 5)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
        *("224.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1", "240.0.0.1"),
        *("::1", "::", "fe80::1%eth0", "fc00::1", "ff02::1", "fec0::1", "2001:db8::1"),
        *("::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:4136:e378:8000:63bf:3fff:fdd2"),
    ],
)
def test_an_address_that_only_this_machine_can_reach_is_none_of_the_internet_s(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_an_address_of_the_internet(address: str) -> None:
    assert is_public(address)


def test_a_name_is_resolved_once(tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that answers with a public address first, and then with one of this machine's."""
    asked: list[str] = []

    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        address = "203.0.113.9" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    connected: list[Any] = []

    def connect(_self: socket.socket, where: Any) -> None:
        connected.append(where)
        raise OSError

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(public_addresses, "is_public", lambda address: address == "203.0.113.9")
    monkeypatch.setattr(socket.socket, "connect", connect)
    with pytest.raises(StoreUnavailable):
        fetch("https://rebinding.example/", target, rules(tmp_path), 5)
    assert connected == [("203.0.113.9", 443)]
    assert len(asked) == 1


def test_a_redirect_is_looked_at_as_the_source_was(tmp_path: Path, target: Path) -> None:
    with serving({"/secret": says()}) as other:
        answers = {
            "/inside": leads_to(f"http://127.0.0.1:{other}/secret"),
            "/tls": leads_to(f"https://127.0.0.1:{other}/secret"),
            "/file": leads_to("file:///etc/passwd"),
            "/s3": leads_to("s3://bucket/key"),
            "/round": leads_to("/round"),
            "/nowhere": says(b"", 302),
            "/a": leads_to("/b"),
            "/b": leads_to("photo"),
            "/photo": says(),
        }
        with serving(answers) as port:
            base, allowed = f"http://localhost:{port}", rules(tmp_path, "localhost")
            for path in ("inside", "tls", "file", "s3", "round", "nowhere"):
                with pytest.raises(Refused):
                    fetch(f"{base}/{path}", target, allowed, 5)
            assert got(f"{base}/a", target, allowed).size == len(JPEG)


def test_the_size_is_limited_whatever_the_source_says(tmp_path: Path, target: Path) -> None:
    def without_end(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        while True:
            request.wfile.write(bytes(10_000))

    with serving({"/told": says(), "/untold": without_end}) as port:
        allowed = rules(tmp_path, "localhost", max_bytes=4000)
        for path in ("told", "untold"):
            with pytest.raises(TooLarge):
                fetch(f"http://localhost:{port}/{path}", target, allowed, 5)
        assert target.stat().st_size <= 4000


@pytest.mark.parametrize("path", ["/body", "/head"])
def test_the_deadline_holds_with_tls_too(
    tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    context, authority = certificate(tmp_path, "localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    with serving({"/body": trickles, "/head": trickles_in_its_head}, context) as port:
        started = time.monotonic()
        with pytest.raises(StoreUnavailable):
            fetch(f"https://localhost:{port}{path}", target, rules(tmp_path, "localhost"), 0.6)
        assert time.monotonic() - started < 5


def test_a_server_that_does_not_come_to_tls(tmp_path: Path, target: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        started = time.monotonic()
        with pytest.raises(StoreUnavailable):
            fetch(f"https://localhost:{server.getsockname()[1]}/", target, rules(tmp_path, "localhost"), 0.6)
        assert time.monotonic() - started < 5


def test_an_address_is_asked_for_in_percent_encoding(tmp_path: Path, target: Path) -> None:
    answers = {"/M%C3%BCller%20us.jpg?q=%C3%BC%20%25": says(), "/led": leads_to("/M%C3%BCller us.jpg?q=\u00fc %25")}
    with serving(answers) as port:
        for path in ("M\u00fcller us.jpg?q=\u00fc %25", "M%C3%BCller%20us.jpg?q=%C3%BC%20%25", "led"):
            check(f"http://localhost:{port}/{path}", rules(tmp_path, "localhost"))
            fetched = got(f"http://localhost:{port}/{path}", target, rules(tmp_path, "localhost"))
            assert fetched.filename == "M\u00fcller us.jpg"


def test_a_disk_that_is_full_is_said_to_be(tmp_path: Path) -> None:
    full = Path("/dev/full")
    (tmp_path / "data/outgoing").mkdir(parents=True)
    (tmp_path / "data/outgoing/photo.jpg").write_bytes(JPEG)
    with serving({"/": says()}) as port:
        for given in ("photo.jpg", f"http://localhost:{port}/"):
            with pytest.raises(StoreUnavailable, match="the disk does not take the file: No space left"):
                fetch(given, full, rules(tmp_path, "localhost"), 5)


@pytest.mark.parametrize("path", ["/body", "/head"])
def test_the_deadline_holds_however_slowly_bytes_come(tmp_path: Path, target: Path, path: str) -> None:
    with serving({"/body": trickles, "/head": trickles_in_its_head}) as port:
        started = time.monotonic()
        with pytest.raises(StoreUnavailable):
            fetch(f"http://localhost:{port}{path}", target, rules(tmp_path, "localhost"), 0.6)
        assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (says(status=404), NotFound),
        (says(status=410), NotFound),
        (says(status=403), Refused),
        (says(status=503), StoreUnavailable),
        (says(b""), NotFound),
        (says(Content_Length="9000"), StoreUnavailable),
        (says(Content_Encoding="gzip"), Refused),
    ],
)
def test_what_a_server_says_instead(tmp_path: Path, target: Path, answer: Answer, error: type[ContractError]) -> None:
    def breaks_off(request: http.server.BaseHTTPRequestHandler) -> None:
        answer(request)
        request.close_connection = True

    with serving({"/": breaks_off}) as port, pytest.raises(error):
        fetch(f"http://localhost:{port}/", target, rules(tmp_path, "localhost"), 5)


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://example.com/a", "https://", "https:///a", "https://user:secret@example.com/", "https://a:99999/"),
        *("https://exa mple/x", "https://a\u0000b/", "https://a..b/", f"https://{'a' * 70}.example/"),
        *("https://example.com/a\x01b", "https://example.com/?\x7f"),
        *("https://[::1/", "data:image/png;base64,AA", "javascript:1"),
    ],
)
def test_an_address_that_cannot_be_used(tmp_path: Path, url: str) -> None:
    with pytest.raises(Refused) as refusal:
        check(url, rules(tmp_path))
    assert "secret" not in str(refusal.value)


def test_a_name_that_does_not_exist_is_not_one_that_cannot_be_asked_for(
    tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for errno, kind in (
        (socket.EAI_NONAME, NoSuchHost),
        (socket.EAI_NODATA, NoSuchHost),
        (socket.EAI_AGAIN, StoreUnavailable),
    ):

        def fails(*_: Any, errno: int = errno, **__: Any) -> Any:
            raise socket.gaierror(errno, "as the resolver says")

        monkeypatch.setattr(socket, "getaddrinfo", fails)
        with pytest.raises(kind):
            fetch("https://photos.example/17.jpg", target, rules(tmp_path), 5)


# -- TLS -------------------------------------------------------------------------------------------------------------


def test_the_certificate_must_be_the_host_s(tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    allowed = rules(tmp_path, "localhost")
    right, authority = certificate(tmp_path, "localhost")
    wrong, other_authority = certificate(tmp_path, "elsewhere.example")
    with serving({"/": says()}, right) as port:
        with pytest.raises(Refused, match="certificate"):
            fetch(f"https://localhost:{port}/", target, allowed, 5)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        assert got(f"https://localhost:{port}/", target, allowed).size == len(JPEG)
    monkeypatch.setenv("SSL_CERT_FILE", str(other_authority))
    with serving({"/": says()}, wrong) as port, pytest.raises(Refused, match="certificate"):
        fetch(f"https://localhost:{port}/", target, allowed, 5)
