"""What is read of the session for whoever asks: Redis only, each time with a deadline."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from pydantic import AwareDatetime, BaseModel
from redis.exceptions import ResponseError

from whatsapp_contract.client import AsyncAgentClient
from whatsapp_contract.events import QrOnShow
from whatsapp_contract.health import Limits, verdict
from whatsapp_contract.redis_connection import is_outage
from whatsapp_contract.settings import Settings
from whatsapp_contract.status import Status

from . import metrics

# Container engines ask with a deadline of their own: a Redis that is frozen must not look like a web that is.
REDIS_WITHIN_S = 1.5
REDIS_AWAY, UNREADABLE = "redis_away", "status_unreadable"


class AgentStatus(Status):
    """What the agent says of itself, and what that amounts to now."""

    heartbeat_age_s: float


class QrNews(BaseModel):
    """That a code is on show; not the code."""

    sequence: int
    expires_at: AwareDatetime


class StatusAnswer(BaseModel):
    """`agent` is null where none has ever spoken, or where it cannot be read; `redis` says whether Redis answers."""

    redis: bool
    agent: AgentStatus | None
    qr: QrNews | None


class Reader:
    """One session's, for one container."""

    def __init__(self, client: AsyncAgentClient, settings: Settings) -> None:
        self._client = client
        self._settings = settings

    async def status(self) -> tuple[Status | None, str | None]:
        """The agent's status, and why it cannot be read."""
        try:
            async with asyncio.timeout(REDIS_WITHIN_S):
                return await self._client.status(), None
        except Exception as error:
            return None, _trouble(error)

    async def stands_aside(self, status: Status | None) -> bool:
        """Whether this container's agent lives and says that another holds the session."""
        if status is None or status.instance == self._settings.instance_id:
            return False
        try:
            async with asyncio.timeout(REDIS_WITHIN_S - 1.0):
                return bool(await self._client.redis.exists(self._settings.instance_names.aside))
        except Exception as error:
            _trouble(error)
            return False

    async def qr(self) -> QrOnShow | None:
        """The code that is now to be scanned."""
        try:
            async with asyncio.timeout(REDIS_WITHIN_S):
                kept: Any = await self._client.redis.get(self._client.names.qr)
            return QrOnShow.model_validate_json(kept) if kept else None
        except Exception as error:
            _trouble(error)
            return None

    async def counts(self) -> metrics.Counts | None:
        """None while Redis is away."""
        try:
            async with asyncio.timeout(REDIS_WITHIN_S):
                return await metrics.counted(self._client.redis, self._client.names, self._settings.instance_names)
        except Exception as error:
            _trouble(error)
            return None

    async def described(self) -> StatusAnswer:
        """The status with what a reader would have to reckon: its age, a verdict of now, whether a QR is on show."""
        status, trouble = await self.status()
        now = datetime.now(UTC)
        redis_up = trouble != REDIS_AWAY
        if status is None:
            return StatusAnswer(redis=redis_up, agent=None, qr=None)
        assessment = verdict(status.facts, Limits(), now)
        agent = AgentStatus.model_construct(
            **{
                **status.__dict__,
                "verdict": assessment.verdict,
                "verdict_reason": assessment.reason,
                "heartbeat_age_s": round(status.age_s(now), 1),
            }
        )
        shown = await self.qr()
        news = None if shown is None else QrNews(sequence=shown.sequence, expires_at=shown.expires_at)
        return StatusAnswer(redis=redis_up, agent=agent, qr=news)


def _trouble(error: Exception) -> str:
    """What keeps a key from being read: Redis, or what somebody else has written there. Raises what is a bug."""
    if isinstance(error, (ValueError, ResponseError)):
        return UNREADABLE
    if not is_outage(error):
        raise error
    return REDIS_AWAY
