"""Three accounts, a service each, on one Redis and in one bucket: none is touched by what happens to another."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.conftest import QUICK
from tests.harness.redis_server import RedisServer
from tests.harness.s3_server import S3Server
from tests.harness.service import INSTANCE, Service
from tests.harness.waiting import wait_until
from tests.whatsapp_web.client import WhatsAppWeb
from tests.whatsapp_web.people import ANNA
from whatsapp_contract.names import InstanceNames

# Alike but for what Redis' and Huey's names might lose, and each a beginning of the others.
SESSIONS = ("shop", "shop-1", "shop_1")
ELSEWHERE = "elsewhere"
# Of one that is left alone there are none; its own snapshots are no sign.
OF_THE_TOUCHED = ("restarted", "disconnected", "alert", "qr", "auth_failure", "session_restored")
NEVER = "0 0 1 1 *"
PHOTO = b"\xff\xd8\xff" + bytes(range(256)) * 64


@dataclass(frozen=True)
class Account:
    session: str
    whatsapp: WhatsAppWeb
    service: Service
    folder: Path

    def generations(self, s3: S3Server) -> set[str]:
        folder, stored = f"sessions/{self.session}/", s3.keys()
        return {key for key in stored if key.startswith(folder)} - {f"{folder}pointer.json"}


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


def service_of(
    session: str, folder: Path, whatsapp: WhatsAppWeb, redis: RedisServer, s3: S3Server, **more: str
) -> Service:
    given = {**QUICK, **redis.settings(), **s3.settings(), "MEDIA_STORE": "s3", "WHATSAPP_SESSION_ID": session}
    given["CONNECTION_RESET_CRON"] = NEVER
    return Service(folder, whatsapp.url, without=("web",), **given, **more)


@pytest.fixture(scope="module")
def accounts(
    redis: RedisServer, s3: S3Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Account, ...]]:
    """Scanned and ready, all at once."""
    with ExitStack() as stack:
        made = []
        for session in SESSIONS:
            whatsapp = stack.enter_context(WhatsAppWeb(keepalive_s=2, reconnect_first_ms=200))
            folder = tmp_path_factory.mktemp(session)
            service = stack.enter_context(service_of(session, folder, whatsapp, redis, s3))
            made.append(Account(session, whatsapp, service, folder))
        for account in made:
            account.whatsapp.scan(account.service.wait_event("qr", within_s=90).data["payload"])
        for account in made:
            account.service.wait_event("ready", within_s=90)
        yield tuple(made)


def test_each_is_told_its_own_messages_and_keeps_its_own_photos(accounts: tuple[Account, ...], s3: S3Server) -> None:
    told = {}
    for account in accounts:
        text = account.whatsapp.deliver_text(f"to {account.session}")
        told[account.session] = {text, account.whatsapp.deliver_photo(PHOTO)}
    for account in accounts:
        photo = account.service.wait_event("media")
        assert photo.data["url"].startswith(f"s3://{s3.bucket}/media/{account.session}/")
        assert s3.get(photo.data["url"].removeprefix(f"s3://{s3.bucket}/")) == PHOTO
        assert {event.data["key"] for event in account.service.events("message")} == told[account.session]
        assert {event.session_id for event in account.service.events()} == {account.session}


def test_each_sends_by_itself_under_the_same_idempotency_key(accounts: tuple[Account, ...]) -> None:
    for account in accounts:
        args = {"idempotency_key": "same", "chat_id": ANNA.phone, "text": f"from {account.session}"}
        account.service.client.call("send_text", args)
    for account in accounts:
        account.service.wait_event("message_ack", where=lambda data: data["idempotency_key"] == "same", within_s=90)
        sent = [message for message in account.whatsapp.outbox() if message["chat"] == ANNA.phone]
        assert [message["text"] for message in sent] == [f"from {account.session}"]


def test_a_frozen_agent_is_restarted_and_the_others_are_left_alone(accounts: tuple[Account, ...]) -> None:
    frozen, *others = accounts
    pids, last = [one.service.pids() for one in others], [one.service.last_event_id() for one in others]
    after = frozen.service.last_event_id()
    os.kill(frozen.service.pids()["browser-agent"], signal.SIGSTOP)
    restarted = frozen.service.wait_event("restarted", after=after, within_s=90)
    assert restarted.data["cause"].startswith("agent_hung")
    frozen.service.wait_event("ready", after=after, within_s=90)
    assert [one.service.pids() for one in others] == pids
    assert [one.service.events(*OF_THE_TOUCHED, after=id_) for one, id_ in zip(others, last, strict=True)] == [[], []]


def test_one_that_moves_to_another_machine_and_one_that_logs_out_leave_the_others_their_sessions(
    accounts: tuple[Account, ...], redis: RedisServer, s3: S3Server, tmp_path: Path
) -> None:
    moves, leaves, stays = accounts
    for account in accounts:
        account.service.client.call("backup")
    kept, last = stays.generations(s3), stays.service.last_event_id()
    after = moves.service.last_event_id()
    assert moves.service.stop() == 0
    with service_of(moves.session, tmp_path, moves.whatsapp, redis, s3, INSTANCE_ID=ELSEWHERE) as moved:
        moved.wait_event("session_restored", after=after, within_s=90)
        moved.wait_event("ready", after=after, within_s=90)
        assert moved.events("qr", after=after) == []
        leaves.service.client.call("logout")
        wait_until(lambda: not leaves.generations(s3), 60, "what it had stored is deleted")
        assert moves.generations(s3)
        assert kept <= stays.generations(s3)
        assert stays.service.events(*OF_THE_TOUCHED, after=last) == []
        assert moved.client.check().verdict == stays.service.client.check().verdict == "healthy"


def test_every_key_in_redis_and_in_the_bucket_names_its_account(
    accounts: tuple[Account, ...], redis: RedisServer, s3: S3Server
) -> None:
    with redis.client() as client:
        keys = [str(key) for key in client.scan_iter(count=1000)]
    of_a_queue = [key for key in keys if key.startswith("huey.redis.")]
    assert {key.split(":")[1] for key in keys if key not in of_a_queue} == set(SESSIONS)
    queues = {InstanceNames(name, instance).queue for name in SESSIONS for instance in (INSTANCE, ELSEWHERE)}
    assert len(queues) == 6
    assert all(any(queue in key for queue in queues) for key in of_a_queue), of_a_queue
    stored = s3.keys()
    assert {key.split("/")[1] for key in stored} == set(SESSIONS)
