"""The check's round trip, a message's way into Redis, and a burst of messages."""

import json
import socket
import threading
import time
from pathlib import Path
from typing import Any

from tests.harness.service import Service
from tests.whatsapp_web.client import WhatsAppWeb

from . import bare
from .report import Figure, median_p99

CHECKS, SINGLES, BURST, BURSTS = 2000, 300, 1000, 5


def run(folder: Path) -> list[Figure]:
    with WhatsAppWeb(keepalive_s=5) as whatsapp, Service(folder, whatsapp.url) as service:
        whatsapp.scan(service.wait_event("qr").data["payload"])
        service.wait_event("ready")
        time.sleep(8)  # until all programs are up and quiet
        url = f"redis://127.0.0.1:{service.redis_port}/0"
        return [
            _checks(service, url, folder),
            _singles(service, whatsapp, url),
            _burst(service, whatsapp, url),
        ]


def _checks(service: Service, url: str, folder: Path) -> Figure:
    took = []
    for _ in range(CHECKS):
        started = time.perf_counter()
        service.client.check()
        took.append((time.perf_counter() - started) * 1000)
    echo, evaluate = bare.redis_echo_ms(url, CHECKS), bare.evaluate_ms(folder / "bare", CHECKS)
    floor = f"{median_p99(echo)} Redis, {median_p99(evaluate)} CDP"
    return Figure("check round trip, median / p99", median_p99(took), floor, "2.0 / 8 ms")


def _singles(service: Service, whatsapp: WhatsAppWeb, url: str) -> Figure:
    """From the server's sending the frame to the entry in the stream, and to a subscriber's having it.

    An entry's id is Redis' clock cut to the millisecond; half of one is added.
    """
    before = service.last_event_id()
    with _Subscriber(service.redis_port, service.client.names.events) as subscriber:
        for n in range(SINGLES):
            key = whatsapp.deliver_text(f"single {n}")
            subscriber.wait_for({key})
            time.sleep(0.02)
    sent = {message["key"]: message["sent_at"][0] * 1000 for message in whatsapp.model()}
    entries = {event.data["key"]: str(event.id) for event in service.events("message", after=before)}
    to_stream = [int(entry.split("-")[0]) + 0.5 - sent[key] for key, entry in entries.items()]
    to_subscriber = [at * 1000 - sent[key] for key, at in subscriber.arrived.items()]
    return Figure(
        "group text to event on Redis, median / p99",
        f"{median_p99(to_stream)} in the stream, {median_p99(to_subscriber)} at a subscriber",
        f"{median_p99(bare.redis_echo_ms(url, SINGLES))} Redis",
        "2.5 / 6 ms",
    )


def _burst(service: Service, whatsapp: WhatsAppWeb, url: str) -> Figure:
    rates, lost, doubled = [], 0, 0
    for _ in range(BURSTS):
        before = service.last_event_id()
        with _Subscriber(service.redis_port, service.client.names.events) as subscriber:
            keys = whatsapp.deliver_many(BURST)
            subscriber.wait_for(set(keys))
            sent = {message["key"]: message["sent_at"][0] for message in whatsapp.model()}
            seconds = max(subscriber.arrived[key] for key in keys) - min(sent[key] for key in keys)
        rates.append(BURST / seconds)
        published = [event.data["key"] for event in service.events("message", after=before)]
        lost += len(set(keys) - set(published))
        doubled += len(published) - len(set(published))
    rates.sort()
    ours = f"{rates[len(rates) // 2]:,.0f}/s, slowest {rates[0]:,.0f}/s; {lost} lost, {doubled} doubled (n={BURSTS})"
    floor = f"{bare.xadds_per_s(url, BURST):,.0f}/s Redis"
    return Figure(f"burst of {BURST:,} texts", ours, floor, "at least 2,500/s, none lost or doubled")


class _Subscriber:
    """Notes when each message's event arrives on the channel (wall clock, as the stand-in's sending times).

    A bare socket, so that what is measured is the service and not a client library.
    """

    def __init__(self, port: int, channel: str) -> None:
        self.arrived: dict[str, float] = {}
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.sendall(b"SUBSCRIBE %s\r\n" % channel.encode())
        self._socket.recv(1000)
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._listen)

    def __enter__(self) -> "_Subscriber":
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def wait_for(self, keys: set[str], within_s: float = 30) -> None:
        with self._news:
            if not self._news.wait_for(lambda: keys <= self.arrived.keys(), within_s):
                raise AssertionError(f"{len(keys - self.arrived.keys())} messages did not arrive")

    def _listen(self) -> None:
        rest = b""
        while chunk := self._socket.recv(1 << 20):
            at = time.time()
            *lines, rest = (rest + chunk).split(b"\r\n")
            events = [json.loads(line) for line in lines if line.startswith(b"{")]
            with self._news:
                for event in events:
                    if event["type"] == "message":
                        self.arrived.setdefault(event["data"]["key"], at)
                self._news.notify_all()
