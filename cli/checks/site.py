"""WhatsApp's site: its name, a connection, TLS, an answer."""

import http.client
import socket
import ssl
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from whatsapp_contract.settings import Settings

from .finding import Finding, bad, ok, warn

STEP_WITHIN_S = 4.0
WITHIN_S = 15.0
USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"


@dataclass(frozen=True)
class Answer:
    """What a server said. Times are this machine's, of the request and its answer."""

    status: int
    date: str | None
    is_cached: bool  # its date is not now
    sent_at: float
    answered_at: float


class SiteTrouble(Exception):
    """No answer: what failed, and what to do about it."""

    def __init__(self, found: str, advice: str) -> None:
        super().__init__(found)
        self.found, self.advice = found, advice


def look(settings: Settings) -> list[Finding]:
    """Whether the page can be loaded from here."""
    url = settings.whatsapp_web_url
    try:
        answer = ask(url, STEP_WITHIN_S)
    except SiteTrouble as trouble:
        return [bad("site", trouble.found, trouble.advice)]
    return [judge(urlsplit(url).hostname or url, answer.status)]


def judge(host: str, status: int) -> Finding:
    """By the status of its answer."""
    found = f"{host} answers with HTTP status {status}"
    if status >= 500:
        return bad("site", found, "it is in trouble, or a proxy before it is: try again later")
    if status >= 400:
        return warn("site", found, "it, or a firewall before it, refuses this machine: try it in a browser from here")
    return ok("site", found)


def ask(url: str, step_within_s: float, method: str = "GET") -> Answer:
    """One request, without body and redirects. Raises SiteTrouble."""
    parts = urlsplit(url)
    secure, host = parts.scheme == "https", parts.hostname or ""
    try:
        port = parts.port or (443 if secure else 80)
    except ValueError:
        raise SiteTrouble(f"{host} has no such port", "correct the address in the settings") from None
    try:
        socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        advice = "check this machine's DNS (/etc/resolv.conf) and the address in the settings"
        raise SiteTrouble(f"the name {host} is not known", advice) from None
    connection: http.client.HTTPConnection
    if secure:
        connection = http.client.HTTPSConnection(
            host, port, timeout=step_within_s, context=ssl.create_default_context()
        )
    else:
        connection = http.client.HTTPConnection(host, port, timeout=step_within_s)
    try:
        connection.connect()
        sent_at = time.time()
        connection.request(method, parts.path or "/", headers={"User-Agent": USER_AGENT, "Connection": "close"})
        answer = connection.getresponse()
        return Answer(
            answer.status, answer.getheader("Date"), answer.getheader("Age") is not None, sent_at, time.time()
        )
    except ssl.SSLCertVerificationError as error:
        advice = "a proxy reads along, this machine's ca-certificates are missing or old, or its clock is wrong"
        raise SiteTrouble(f"the certificate of {host} is not trusted ({error.verify_message})", advice) from error
    except ssl.SSLError as error:
        raise SiteTrouble(
            f"no TLS with {host}:{port} ({error.reason})", "a firewall or proxy is in the way"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        step = "is not answered" if connection.sock else "cannot be had"
        why = "too slow" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
        advice = "check this machine's network and firewall: it must reach the site by itself"
        raise SiteTrouble(f"a connection to {host}:{port} {step} ({why})", advice) from error
    finally:
        connection.close()
