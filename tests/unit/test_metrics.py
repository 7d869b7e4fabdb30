"""What a scrape tells: known facts with their ages, nothing of what is not known, and that Redis is away."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import fakeredis
import pytest
from prometheus_client.parser import text_string_to_metric_families

from web import metrics
from whatsapp_contract.health import Verdict
from whatsapp_contract.names import InstanceNames, SessionNames
from whatsapp_contract.states import SessionState
from whatsapp_contract.status import Status

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
NAMES, INSTANCE = SessionNames("s1"), InstanceNames("s1", "i1")
STATUS = Status(
    session_id="s1",
    instance="i1",
    pid=7,
    epoch=3,
    started_at=NOW - timedelta(hours=1),
    heartbeat_at=NOW - timedelta(seconds=2),
    state=SessionState.READY,
    since=NOW - timedelta(minutes=10),
    verdict=Verdict.HEALTHY,
    verdict_reason="ready",
    browser_seen_at=NOW,
    page_seen_at=NOW - timedelta(seconds=4),
    page_took_ms=12.5,
    frame_seen_at=NOW - timedelta(seconds=8),
    memory_bytes=200_000_000,
    browser_version="156",
)


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
