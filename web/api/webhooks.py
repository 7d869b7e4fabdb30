"""/api/webhooks: how they stand, their dead letters, trying those again."""

import json
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Query
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from web.api.events import told_to
from web.here import Here
from web.tokens import Role
from whatsapp_contract.reading import carry_out_async
from whatsapp_contract.webhooks import (
    DeadLetter,
    Handled,
    WebhookState,
    dead_letters,
    discard,
    request_replay,
    states,
)

HOOK_PATTERN = r"^[0-9a-f]{1,64}$"
LETTER_PATTERN = r"^[0-9a-f]{1,64}-[0-9]{1,20}-[0-9]{1,20}$"


class ShownWebhook(WebhookState):
    """`is_served` is whether a process delivers to it, or waits until that is possible."""

    is_served: bool

    @classmethod
    def of(cls, state: WebhookState, now: datetime) -> "ShownWebhook":
        return cls(**state.model_dump(), is_served=state.is_served_at(now))


class LettersArgs(BaseModel):
    """Dead letters by their ids; all of them where none are named."""

    model_config = ConfigDict(extra="forbid")

    ids: (
        Annotated[
            list[Annotated[str, StringConstraints(pattern=LETTER_PATTERN)]], Field(min_length=1, max_length=10_000)
        ]
        | None
    ) = None


class LettersAnswer(BaseModel):
    """With how many letters it is done; `unknown` are ids of none."""

    letters: int
    unknown: list[str]

    @classmethod
    def of(cls, handled: Handled) -> "LettersAnswer":
        return cls(letters=handled.letters, unknown=handled.unknown)


def routes(here: Here) -> APIRouter:
    router = APIRouter(prefix="/webhooks", tags=["webhooks"])
    redis, names = here.client.redis, here.client.names
    view, act = [Depends(here.gate.view)], [Depends(here.gate.act)]

    @router.get("", dependencies=view)
    async def webhooks() -> list[ShownWebhook]:
        """Each by its host, which is all of its address that is shown."""
        now = datetime.now(UTC)
        return [ShownWebhook.of(state, now) for state in await carry_out_async(redis, states(names))]

    @router.get("/dead", dependencies=view)
    async def dead(
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
        webhook: Annotated[str | None, Query(pattern=HOOK_PATTERN)] = None,
        role: Role = Depends(here.gate.view),  # noqa: B008  # FastAPI's form
    ) -> list[DeadLetter]:
        """Events that were given up, of one webhook or of all, newest first."""
        found = await carry_out_async(redis, dead_letters(names, last=limit, hook=webhook))
        return [_told(letter, role) for letter in found[::-1]]

    @router.post("/replay", status_code=202, dependencies=act)
    async def replay(args: Annotated[LettersArgs, Body(default_factory=LettersArgs)]) -> LettersAnswer:
        """Have them tried again, soon."""
        return LettersAnswer.of(await carry_out_async(redis, request_replay(names, args.ids)))

    @router.post("/discard", dependencies=act)
    async def discard_(args: Annotated[LettersArgs, Body(default_factory=LettersArgs)]) -> LettersAnswer:
        """Take them away for good."""
        return LettersAnswer.of(await carry_out_async(redis, discard(names, args.ids)))

    return router


def _told(letter: DeadLetter, role: Role) -> DeadLetter:
    """As the event itself is told to who may look. One that cannot be read is told to nobody."""
    try:
        event_type = str(json.loads(letter.body)["type"])
    except (KeyError, TypeError, ValueError):
        return letter.model_copy(update={"body": "{}"})
    return letter.model_copy(update={"body": told_to(role, event_type, letter.body)})
