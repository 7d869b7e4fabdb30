"""What the page knows of chats and of messages that came before: calls of bridge/history.js and bridge/chats.js."""

from typing import Any

from pydantic import TypeAdapter, ValidationError

from .answers import PageMalformed, checked_as
from .models import PageChat, PageGroup, PageMessage
from .page import WhatsAppPage

CHATS_WITHIN_S = 5.0
GROUPS_WITHIN_S = 20.0
PIECES_WITHIN_S = 5.0
MARGIN_S = 5.0  # beyond what the page was given to look for earlier messages

Listed = tuple[str, int | None]

_chats: TypeAdapter[list[PageChat]] = TypeAdapter(list[PageChat])
_groups: TypeAdapter[list[PageGroup]] = TypeAdapter(list[PageGroup])
_keys: TypeAdapter[list[Listed]] = TypeAdapter(list[Listed])


class PageHistory:
    """Every call raises what WhatsAppPage.call raises, and PageMalformed for an answer that is none."""

    def __init__(self, page: WhatsAppPage) -> None:
        self._page = page

    async def chats(self) -> list[PageChat]:
        """All but statuses, broadcasts and newsletters."""
        return checked_as(_chats, await self._page.call("chats", within_s=CHATS_WITHIN_S))

    async def groups(self) -> list[PageGroup]:
        """With their members, from the server."""
        return checked_as(_groups, await self._page.call("groups", within_s=GROUPS_WITHIN_S))

    async def keys_since(
        self, chat_id: str, since: float, within_s: float
    ) -> tuple[list[tuple[str, int | None]], bool]:
        """Key and time (epoch seconds) of all that a chat has later than `since`, and whether that is complete.

        The page looks in its store, then in its database, then asks for earlier messages, for `within_s`.
        """
        answer = await self._page.call("keysSince", chat_id, since, int(within_s * 1000), within_s=within_s + MARGIN_S)
        return checked_as(_keys, answer.get("keys")), answer.get("complete") is True

    async def messages(self, keys: list[str]) -> list[PageMessage | None]:
        """What keys that were listed stand for, in their order; None for one that cannot be read."""
        pieces = await self._page.call("piecesOf", keys, within_s=PIECES_WITHIN_S)
        if not isinstance(pieces, list) or len(pieces) != len(keys):
            raise PageMalformed("the page answered with other messages than it was asked for")
        return [_message(piece) for piece in pieces]

    async def forget(self) -> None:
        """All was asked for that is wanted: the page lets go of what it found outside its store."""
        await self._page.call("forgetPieces")


def _message(piece: Any) -> PageMessage | None:
    """One odd message must not cost the others."""
    try:
        return PageMessage.model_validate(piece)
    except ValidationError:
        return None
