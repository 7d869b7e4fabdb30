"""What a scrape tells: known facts with their ages, nothing of what is not known, and that Redis is away."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import fakeredis
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.harness.messages import message_with
from tests.harness.scrape import FULL_STATUS, NOW, STATUS, families
from web import metrics
from whatsapp_contract import counters
from whatsapp_contract.events import (
    AlertData,
    EventType,
    MediaData,
    MediaRef,
    MessageAckData,
    MessageData,
    ReadyData,
    RestartedData,
)
from whatsapp_contract.names import InstanceNames, SessionNames
from whatsapp_contract.status import Status

NAMES, INSTANCE = SessionNames("s1"), InstanceNames("s1", "i1")


@pytest.fixture
async def redis() -> AsyncIterator[Any]:
    async with fakeredis.FakeAsyncRedis(decode_responses=True) as client:
        yield client


async def told(redis: Any, status: Status | None) -> dict[str, float]:
    """Samples by name and labels, as Prometheus reads them."""
    counts = await metrics.counted(redis, NAMES, INSTANCE)
    return read(metrics.exposition(status, counts, NOW))


def read(text: bytes) -> dict[str, float]:
    samples = [sample for family in text_string_to_metric_families(text.decode()) for sample in family.samples]
    return {sample.name + "".join(f" {value}" for value in sample.labels.values()): sample.value for sample in samples}


async def test_the_status_is_told_with_ages(redis: Any) -> None:
    found = await told(redis, STATUS)
    assert {name: found[f"whatsapp_{name}"] for name in ("ready", "redis_up", "state ready", "verdict healthy")} == {
        "ready": 1, "redis_up": 1, "state ready": 1, "verdict healthy": 1,
    }  # fmt: skip
    assert sum(value for name, value in found.items() if name.startswith("whatsapp_state ")) == 1
    assert found["whatsapp_state_age_seconds"] == 600
    assert found["whatsapp_heartbeat_age_seconds"] == 2
    assert found["whatsapp_page_age_seconds"] == 4
    assert found["whatsapp_page_answer_seconds"] == 0.0125
    assert found["whatsapp_server_age_seconds"] == 8
    assert found["whatsapp_browser_memory_bytes"] == 2e8
    assert [value for name, value in found.items() if "build_info" in name and "156" in name] == [1]


async def test_a_status_grows_old(redis: Any) -> None:
    silent = {"page_seen_at": NOW - timedelta(minutes=5), "browser_seen_at": NOW - timedelta(minutes=5)}
    found = await told(redis, STATUS.model_copy(update=silent))
    assert (found["whatsapp_ready"], found["whatsapp_verdict browser_gone"]) == (0, 1)


async def test_what_is_not_known_has_no_sample(redis: Any) -> None:
    found = await told(redis, STATUS)
    assert not {"whatsapp_message_age_seconds", "whatsapp_snapshot_age_seconds"} & set(found)
    assert not {name for name in await told(redis, None) if name.startswith(("whatsapp_state", "whatsapp_ready"))}


async def test_what_redis_holds_is_counted(redis: Any) -> None:
    await redis.set(NAMES.sequence, 41)
    await redis.hset(NAMES.fence, "lives", 3)
    await redis.zadd(NAMES.media_due, {"a": 1, "b": 2})
    await redis.zadd(NAMES.media_failed, {"c": 1})
    await redis.zadd(NAMES.sends_open, {"k": 1})
    await redis.hset(NAMES.sending, "stopped", "paused: a test")
    await redis.lpush(INSTANCE.queue_list, "task")
    await redis.lpush(NAMES.send_queue, "task")
    await redis.zadd(NAMES.send_queue_due, {"task": 1})
    await redis.xadd(NAMES.events, {"event": "1"})
    await redis.xadd(NAMES.events, {"event": "2"})
    await redis.xgroup_create(NAMES.events, "photos", "0")
    await redis.xreadgroup("photos", "backend", {NAMES.events: ">"}, count=1)
    found = await told(redis, STATUS)
    expected = {
        "events_total": 41, "agent_starts_total": 3, "stream_events": 2, "group_pending_events photos": 1,
        "media_files due": 2, "media_files failed": 1, "media_files stored": 0, "sends_open": 1, "sends_stopped": 1,
        "queue_tasks checks": 1, "queue_tasks sends": 2,
    }  # fmt: skip
    assert {name: found[f"whatsapp_{name}"] for name in expected} == expected


def test_a_redis_that_is_away_is_told() -> None:
    assert read(metrics.exposition(None, None, NOW)) == {"whatsapp_redis_up": 0}


async def test_whose_session_it_is_is_told(redis: Any) -> None:
    await redis.hset(NAMES.fence, mapping={"epoch": 12, "lives": 3})
    found = await told(redis, STATUS)
    assert (found["whatsapp_lease_epoch"], found["whatsapp_lease_held"]) == (12, 1)
    assert found["whatsapp_session_info i1 s1"] == 1
    assert (await told(redis, STATUS.model_copy(update={"instance": "i2"})))["whatsapp_lease_held"] == 0
    assert (await told(redis, None))["whatsapp_lease_held"] == 0


async def test_the_last_save_is_told(redis: Any) -> None:
    found = await told(redis, FULL_STATUS)
    names = ("age_seconds", "bytes", "took_seconds", "stood_still_seconds")
    assert [found[f"whatsapp_snapshot_{name}"] for name in names] == [0, 5e6, 0.9, 0.03]


async def test_what_the_watchdog_counted_is_told_with_a_cumulative_histogram(redis: Any) -> None:
    moved = {
        counters.check("healthy"): 7,
        counters.check("overlapped"): 1,
        counters.rung("reset", failed=True): 2,
        counters.incident("deaf"): 3,
        counters.scheduled_reset("proven"): 4,
        counters.ticks("late"): 5,
        **counters.took(7.5),
    }
    for name, by in moved.items():
        await redis.hincrby(NAMES.check_counts, name, by)
    await redis.hincrby(NAMES.check_counts, "took:over", 1)
    found = await told(redis, STATUS)
    expected = {
        "checks_total healthy": 7, "checks_total overlapped": 1, "checks_total agent_gone": 0,
        "rungs_total failed reset": 2, "rungs_total done reset": 0, "rungs_total done hold": 0,
        "incidents_total deaf": 3, "scheduled_resets_total proven": 4, "scheduled_resets_total failed": 0,
        "ticks_late_total": 5, "ticks_missed_total": 0,
        "check_duration_seconds_bucket 0.005": 0, "check_duration_seconds_bucket 0.01": 1,
        "check_duration_seconds_bucket 5.0": 1, "check_duration_seconds_bucket +Inf": 2,
        "check_duration_seconds_count": 2, "check_duration_seconds_sum": 0.0075,
    }  # fmt: skip
    assert {name: found[f"whatsapp_{name}"] for name in expected} == expected


def message(**changes: Any) -> MessageData:
    ref = MediaRef(status="pending", mimetype=None, size=None, sha256=None, filename=None, width=None, height=None)
    return message_with(ref, "k", NOW, "c").model_copy(update=changes)


def ack(stage: str) -> MessageAckData:
    data = {"idempotency_key": "k", "key": None, "chat_id": "c", "ack": stage, "by": None, "error": None}
    return MessageAckData.model_validate(data)


def media(status: str) -> MediaData:
    unknown = dict.fromkeys(("url", "sha256", "size", "mimetype", "filename", "error", "took_ms"))
    data = {"key": "k", "chat_id": "c", "from_me": False, "status": status, "attempts": 1, **unknown}
    return MediaData.model_validate(data)


async def test_events_are_told_by_type_and_messages_by_where_they_come_from(redis: Any) -> None:
    events = [
        *[(EventType.MESSAGE, message(source="live"))] * 3,
        (EventType.MESSAGE, message(source="backfill")),
        *[(EventType.MESSAGE, message(from_me=True))] * 2,
        *[(EventType.MEDIA, media("stored"))] * 2,
        (EventType.MEDIA, media("failed")),
        *[(EventType.MESSAGE_ACK, ack("sent"))] * 2,
        *[(EventType.MESSAGE_ACK, ack(stage)) for stage in ("failed", "delivered", "read")],
        (EventType.ALERT, AlertData(code="rung_failed", message="m")),
        (EventType.RESTARTED, RestartedData(what="browser", cause="a test")),
        (EventType.READY, ReadyData(account=None)),
    ]
    for event_type, data in events:
        await redis.hincrby(NAMES.event_counts, counters.of_event(event_type.value, data), 1)
    found = await told(redis, STATUS)
    expected = {
        "messages_in_total live": 3, "messages_in_total backfill": 1, "messages_own_total": 2,
        "media_ended_total stored": 2, "media_ended_total failed": 1, "sends_ended_total sent": 2,
        "sends_ended_total failed": 1, "receipts_total delivered": 1, "receipts_total read": 1,
        "receipts_total played": 0, "alerts_total rung_failed": 1, "restarts_total browser": 1,
        "restarts_total agent": 0, "events_by_type_total message": 6, "events_by_type_total message_ack": 5,
        "events_by_type_total media": 3, "events_by_type_total ready": 1, "events_by_type_total qr": 0,
    }  # fmt: skip
    assert {name: found[f"whatsapp_{name}"] for name in expected} == expected
    assert sum(value for name, value in found.items() if "events_by_type" in name) == len(events)


def test_the_memory_of_our_processes_is_told_while_redis_is_away() -> None:
    found = read(metrics.exposition(None, None, NOW, {"web": 47, "worker": 38}))
    assert found == {
        "whatsapp_redis_up": 0, "whatsapp_process_memory_bytes web": 47, "whatsapp_process_memory_bytes worker": 38
    }  # fmt: skip


# -- docs/metrics.md --------------------------------------------------------------------------------------------------

ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (Path(__file__).parents[2] / "docs/metrics.md").read_text().splitlines()
    if line.startswith("| `whatsapp_")
]


def test_the_document_has_each_metric_with_its_labels_and_no_other() -> None:
    described = {row[0].strip("`"): set(re.findall(r"`(\w+)`", row[1])) for row in ROWS}
    assert len(described) == len(ROWS)
    shown: dict[str, set[str]] = {}
    for family in families():
        assert family.samples, f"{family.name} is not told: what is known of the scrape in tests/harness is not full"
        name = family.name + ("_total" if family.type == "counter" else "")
        shown[name] = {label for sample in family.samples for label in sample.labels}
    assert described == shown


def test_each_metric_says_what_it_is_in_both_places() -> None:
    assert all(family.documentation.endswith(".") for family in families())
    assert all(len(row) == 3 and row[2] for row in ROWS)
