"""What is known of builds of WhatsApp Web: what works with each, when it was here, and which is gone back from.

In Redis, so that a restart neither alerts again nor forgets which build was good; written through the event log, in
its place among the events, and never waited for.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import redis.asyncio
from pydantic import AwareDatetime, BaseModel, ConfigDict, TypeAdapter, ValidationError

from whatsapp_contract.event_script import RedisCommand
from whatsapp_contract.logs import get_logger
from whatsapp_contract.names import SessionNames

from .redis_wait import once_redis_answers
from .whatsapp.kept_builds import is_same, revision

log = get_logger(__name__)

KEPT_AT_MOST = 100
# Fields beside the versions.
_FALLBACK = "fallback"
_GONE_BACK = "gone_back"

Broken = dict[str, tuple[str, ...]]


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class KnownBuild(_Kept):
    """One build. `broken`: which calls, each with the modules that it misses."""

    broken: Broken = {}
    first_seen_at: AwareDatetime
    last_seen_at: AwareDatetime
    good_at: AwareDatetime | None = None  # when all calls were last fine with it
    keep: bool = False  # going back from it did not help, or was refused: it stays


class Fallback(_Kept):
    """The build that is gone back from, and the one that is served in its place."""

    bad: str
    good: str
    since: AwareDatetime
    is_kept: bool = False  # the site has a later build, which is not tried for now; that was told


_times: TypeAdapter[list[AwareDatetime]] = TypeAdapter(list[AwareDatetime])


class BuildMemory:
    """One per agent. `write` takes Redis commands, `now` is the wall clock."""

    def __init__(
        self,
        client: "redis.asyncio.Redis",
        names: SessionNames,
        write: Callable[[list[RedisCommand]], None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.known: dict[str, KnownBuild] = {}
        self.fallback: Fallback | None = None
        self._redis = client
        self._name = names.builds
        self._write = write
        self._now = now
        self._gone_back: list[datetime] = []
        self._is_loaded = False

    async def load(self) -> None:
        """Once; later this memory knows better than a Redis that may lag behind. Waits for Redis. What cannot be read
        is passed over."""
        if self._is_loaded:
            return
        kept: dict[Any, Any] = await once_redis_answers(lambda: self._redis.hgetall(self._name))
        for field, text in kept.items():
            try:
                if field == _FALLBACK:
                    self.fallback = Fallback.model_validate_json(text)
                elif field == _GONE_BACK:
                    self._gone_back = _times.validate_json(text)
                else:
                    self.known[field] = KnownBuild.model_validate_json(text)
            except ValidationError:
                log.error("what is kept of a build cannot be read", build=field)
        self._is_loaded = True

    def take(self, version: str, broken: Broken) -> tuple[bool, list[RedisCommand]]:
        """A build was probed. Answers whether that is news, and what writes it down."""
        before, now = self.known.get(version), self._now()
        build = KnownBuild(
            broken=broken,
            first_seen_at=before.first_seen_at if before else now,
            last_seen_at=now,
            good_at=now if not broken else before.good_at if before else None,
            keep=before.keep if before else False,
        )
        self.known[version] = build
        return before is None or before.broken != broken, [self._set(version), *self._forget_oldest(but=version)]

    def good_ones(self, other_than: str) -> list[str]:
        """The builds with which all was fine, and is so as far as is known, the latest first; not that one."""
        good = {
            version: build.good_at
            for version, build in self.known.items()
            if build.good_at is not None and not build.broken and not is_same(version, other_than)
        }
        return sorted(good, key=lambda version: good[version], reverse=True)

    def may_go_back_from(self, version: str) -> bool:
        """Not where it did not help before, nor from a build whose successor could not be told from it."""
        return revision(version) is not None and not self.known[version].keep

    def go_back(self, bad: str, good: str) -> list[RedisCommand]:
        """From now on `good` is served in place of `bad`."""
        now = self._now()
        self.fallback = Fallback(bad=bad, good=good, since=now)
        self._gone_back = [*self._within_a_day(), now]
        return [self._set_fallback(), ["HSET", self._name, _GONE_BACK, _times.dump_json(self._gone_back).decode()]]

    def times_gone_back(self) -> int:
        """How often within the last day."""
        return len(self._within_a_day())

    def keep_fallback(self) -> list[RedisCommand]:
        """Note that the site has a later build, and that it is not tried."""
        assert self.fallback is not None
        self.fallback = self.fallback.model_copy(update={"is_kept": True})
        return [self._set_fallback()]

    def end_fallback(self, *, keep_bad: bool) -> list[RedisCommand]:
        """The site's own is served again. With `keep_bad` it is not gone back from that build any more."""
        ended, self.fallback = self.fallback, None
        commands: list[RedisCommand] = [["HDEL", self._name, _FALLBACK]]
        if ended is not None and keep_bad and ended.bad in self.known:
            self.known[ended.bad] = self.known[ended.bad].model_copy(update={"keep": True})
            commands.append(self._set(ended.bad))
        return commands

    def write(self, commands: list[RedisCommand]) -> None:
        """Without an event."""
        self._write(commands)

    def _within_a_day(self) -> list[datetime]:
        """What a clock that was set back since left in the future is not among it: it would count for years."""
        now = self._now()
        return [moment for moment in self._gone_back if timedelta(0) <= now - moment < timedelta(days=1)]

    def _set_fallback(self) -> RedisCommand:
        assert self.fallback is not None
        return ["HSET", self._name, _FALLBACK, self.fallback.model_dump_json()]

    def _set(self, version: str) -> RedisCommand:
        return ["HSET", self._name, version, self.known[version].model_dump_json()]

    def _forget_oldest(self, but: str) -> list[RedisCommand]:
        """`but` is on show now, whatever a clock that was set back says of its age."""
        by_age = sorted(self.known.keys() - {but}, key=lambda version: self.known[version].last_seen_at)
        oldest = by_age[: max(0, len(self.known) - KEPT_AT_MOST)]
        for version in oldest:
            del self.known[version]
        return [["HDEL", self._name, *oldest]] if oldest else []
