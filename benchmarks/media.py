"""Photos from the server's sending their message to their `media` event, one at a time and in a burst, into S3."""

import os
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.harness.service import Service
from tests.harness.waiting import wait_until
from tests.whatsapp_web import processes
from tests.whatsapp_web.client import WhatsAppWeb
from tests.whatsapp_web.composing import compose_message

from .report import Figure, median_p99

MIB = 1024 * 1024
SINGLES, BURST, BURSTS = 150, 100, 3
BUCKET = "photos"
CREDENTIALS = {"BUCKET_STATE_ACCESS_KEY": "any", "BUCKET_STATE_SECRET_KEY": "any", "AWS_REGION": "us-east-1"}


def run(folder: Path) -> list[Figure]:
    with s3_sink() as url, WhatsAppWeb(keepalive_s=5) as whatsapp:
        store = {"MEDIA_STORE": "s3", "MEDIA_BUCKET": BUCKET, "S3_ENDPOINT_URL": url, "SESSION_STORE": "directory"}
        with Service(folder, whatsapp.url, **store, **CREDENTIALS) as service:
            whatsapp.scan(service.wait_event("qr").data["payload"])
            service.wait_event("ready")
            time.sleep(8)  # until all programs are up and quiet
            for _ in range(5):  # the child process, boto3, connections
                _deliver(service, whatsapp, 1)
            return [_singles(service, whatsapp, url), *_bursts(service, whatsapp, url)]


@contextmanager
def s3_sink() -> Iterator[str]:
    process = processes.start([sys.executable, "-m", "benchmarks.s3_sink"], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        processes.stop(process)


def _singles(service: Service, whatsapp: WhatsAppWeb, url: str) -> Figure:
    took = []
    for _ in range(SINGLES):
        took += _deliver(service, whatsapp, 1)
        time.sleep(0.05)
    put = _puts(url, 30, at_once=1)
    got = _gets(whatsapp, 30)
    floor = f"{median_p99(got)} bare download, {median_p99(put)} bare put"
    return Figure("1 MiB photo to S3 and event, median / p99", median_p99(took), floor, "50 / 100 ms")


def _bursts(service: Service, whatsapp: WhatsAppWeb, url: str) -> list[Figure]:
    rates, peaks = [], []
    for _ in range(BURSTS):
        pid = service.pids()["browser-agent"]
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak begins anew
        took = _deliver(service, whatsapp, BURST)
        rates.append(BURST / (max(took) / 1000))
        peaks.append(_peak_mib(pid))
        time.sleep(2)
    bare = BURST / (_together(lambda: _puts(url, BURST, at_once=8)) / 1000)
    rates.sort()
    ours = f"{statistics.median(rates):.0f} MiB/s, slowest {rates[0]:.0f} (n={BURSTS})"
    return [
        Figure(f"{BURST} photos of 1 MiB in a burst, to S3", ours, f"{bare:.0f} MiB/s bare puts", "at least 40 MB/s"),
        Figure("the agent's peak memory in the burst", f"{max(peaks):.0f} MiB", "-", "120 MB"),
    ]


def _deliver(service: Service, whatsapp: WhatsAppWeb, count: int) -> list[float]:
    """So many photos at once; for each the milliseconds from its message's frame to its `media` event.

    An entry's id is Redis' clock cut to the millisecond; half of one is added.
    """
    before = service.last_event_id()
    photos = [os.urandom(MIB) for _ in range(count)]
    messages = [compose_message(type="image", media=whatsapp.upload(photo, "image/jpeg")) for photo in photos]
    keys = whatsapp._deliver(messages)

    def told() -> dict[str, Any]:
        found = {event.data["key"]: event for event in service.events("media", after=before)}
        return found if found.keys() >= set(keys) else {}

    events = wait_until(told, 60, "all media events", every_s=0.005 if count == 1 else 0.25)
    assert all(events[key].data["status"] == "stored" for key in keys), events
    sent = {message["key"]: message["sent_at"][0] * 1000 for message in whatsapp.model()[-count:]}
    return [int(str(events[key].id).split("-")[0]) + 0.5 - sent[key] for key in keys]


def _puts(url: str, count: int, at_once: int) -> list[float]:
    """Milliseconds of each put of 1 MiB by boto3."""
    import boto3

    client = boto3.session.Session().client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",  # the sink asks for none
    )
    client.put_object(Bucket=BUCKET, Key="warm", Body=b"")
    photos = [os.urandom(MIB) for _ in range(count)]

    def put(n: int) -> float:
        return _timed(lambda: client.put_object(Bucket=BUCKET, Key=f"bare/{n}", Body=photos[n]))

    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(put, range(count)))


def _gets(whatsapp: WhatsAppWeb, count: int) -> list[float]:
    """Milliseconds of each download of 1 MiB from the media host."""
    took = []
    for _ in range(count):
        path = whatsapp.upload(os.urandom(MIB), "image/jpeg")["directPath"]
        took.append(_timed(lambda: urllib.request.urlopen(whatsapp.url.rstrip("/") + path).read()))  # noqa: B023
    return took


def _together(work: Any) -> float:
    return _timed(work)


def _timed(work: Any) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


def _peak_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
