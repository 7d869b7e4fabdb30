"""Nothing lost, nothing twice, in and out, whatever is killed, cut and refused on the way: drawn from a seed.

`make soak` runs the long one; SOAK_SEED repeats one that failed. The stand-in keeps a model of every message it ever
delivered; what a backend has in the end is compared with that.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from pathlib import Path

import pytest

from tests.acceptance.conftest import QUICK
from tests.harness.s3_server import S3Server
from tests.harness.service import SESSION, Service
from tests.harness.waiting import wait_until
from tests.soak.backend import Backend
from tests.soak.faults import Faults
from tests.soak.plan import GROUPS, LONG, PEOPLE, SHORT, Plan
from tests.whatsapp_web.client import WhatsAppWeb

IS_LONG = os.environ.get("SOAK") == "long"
SEED = int(os.environ.get("SOAK_SEED") or secrets.randbelow(10**9))
SETTLED_WITHIN_S = 240.0
SETTINGS = {
    **QUICK,
    "SEND_RATE": "6000",
    "SEND_RATE_PER_CHAT": "6000",
    "SEND_RATE_STRANGERS": "6000",
    "START_BUDGET": "1000",
}


@pytest.mark.timeout(1500 if IS_LONG else 600)
def test_soak(tmp_path: Path) -> None:
    plan = Plan(SEED, LONG if IS_LONG else SHORT)
    print(f"\nSOAK_SEED={plan.seed} {plan.size}")
    with (
        S3Server() as store,
        WhatsAppWeb(keepalive_s=2, reconnect_first_ms=200, reconnect_max_ms=2000, loaded_per_chat=15) as whatsapp,
        Service(tmp_path, whatsapp.url, **store.settings(), **SETTINGS) as service,
    ):
        whatsapp.scan(service.wait_event("qr").data["payload"])
        service.wait_event("ready")
        with Backend(f"redis://127.0.0.1:{service.redis_port}/0", SESSION) as backend:
            Soak(plan, service, whatsapp, store, backend).run()


class Soak:
    """One run of a plan, and what must be true after it."""

    def __init__(self, plan: Plan, service: Service, whatsapp: WhatsAppWeb, store: S3Server, backend: Backend) -> None:
        self._plan = plan
        self._service = service
        self._whatsapp = whatsapp
        self._store = store
        self._backend = backend
        self._faults = Faults(service, whatsapp, store, plan.random)
        self._photos: dict[str, bytes] = {}  # by the message's key
        self._sends: dict[str, str] = {}  # text by idempotency key

    def run(self) -> None:
        started = time.monotonic()
        for step in self._plan.steps:
            time.sleep(max(0.0, started + step.at_s - time.monotonic()))
            self._take(step.what, step.count)
        self._faults.heal()
        healed = time.monotonic()
        try:
            self._settle()
        except AssertionError as error:
            raise AssertionError(f"SOAK_SEED={self._plan.seed}: {error}\n{self._service.log()[-6000:]}") from None
        self._compare()
        repeats = sum(self._backend.repeats.values())
        print(
            f"SOAK_SEED={self._plan.seed}: {len(self._photos)} photos, {len(self._sends)} sends, {repeats} repeats, "
            f"settled {time.monotonic() - healed:.1f} s after the last fault"
        )

    # -- what happens ------------------------------------------------------------------------------------------------

    def _take(self, what: str, count: int) -> None:
        if what == "text":
            self._whatsapp.deliver_many(count, text="Text {number}", chats=GROUPS)
        elif what == "photo":
            for _ in range(count):
                data = self._plan.photo()
                chat = self._plan.random.choice(GROUPS)
                self._photos[self._whatsapp.deliver_photo(data, "image/jpeg", chat=chat)] = data
        elif what == "send":
            for _ in range(count):
                self._send()
        else:
            self._faults.cause(what)

    def _send(self) -> None:
        key = f"send-{len(self._sends)}"
        self._sends[key] = f"text of {key}"
        chat = self._plan.random.choice([*GROUPS, *PEOPLE])
        self._backend.send(key, "send_text", {"chat_id": chat, "text": self._sends[key]})

    # -- what must be true -------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        wanted = {message["key"] for message in self._whatsapp.model()}
        deadline = time.monotonic() + SETTLED_WITHIN_S

        def within_s() -> float:
            return max(1.0, deadline - time.monotonic())

        def missing(have: object, of: object) -> str:
            return f"{len(set(of) - set(have))} missing"  # type: ignore[call-overload]  # any collections

        try:
            wait_until(lambda: wanted <= self._backend.messages.keys(), within_s(), "all messages")
            wait_until(lambda: self._photos.keys() <= self._backend.media.keys(), within_s(), "all photos")
            wait_until(
                lambda: all("sent" in self._backend.acks.get(key, ()) for key in self._sends), within_s(), "all sends"
            )
        except AssertionError as error:
            acked = [key for key, acks in self._backend.acks.items() if "sent" in acks]
            raise AssertionError(
                f"{error}; messages {missing(self._backend.messages, wanted)}, "
                f"photos {missing(self._backend.media, self._photos)}, sends {missing(acked, self._sends)}; "
                f"alerts {[alert['code'] for alert in self._backend.alerts]}"
            ) from None

    def _compare(self) -> None:
        model = {message["key"]: message for message in self._whatsapp.model()}
        told = dict(self._backend.messages)  # it goes on: the last of ours may be told only now
        ours = {key for key, data in told.items() if data["from_me"]}
        assert told.keys() - ours == model.keys()
        assert {key: told[key]["text"] for key in model} == {key: message["text"] for key, message in model.items()}
        for key, data in self._photos.items():
            media = self._backend.media[key]
            assert media["status"] == "stored", media
            assert media["sha256"] == hashlib.sha256(data).hexdigest()
            bucket, _, object_key = media["url"].removeprefix("s3://").partition("/")
            assert bucket == self._store.bucket
            assert self._store.get(object_key) == data
        sent = [message["text"] for message in self._whatsapp.outbox() if message["text"]]
        assert sorted(sent) == sorted(self._sends.values())
