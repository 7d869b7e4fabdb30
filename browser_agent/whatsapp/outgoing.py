"""What the page is asked of messages out: calls of bridge/sends.js."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from whatsapp_contract.errors import ContractError, PageTimeout

from .answers import checked_as
from .models import PageAck, SendAnswer
from .page import ANSWER_WITHIN_S, WhatsAppPage

MARGIN_S = 2.0
LOOK_WITHIN_S = 8.0
ACKS_WITHIN_S = 20.0

FileType = Literal["image", "video", "audio", "document", "sticker"]

_answer: TypeAdapter[SendAnswer] = TypeAdapter(SendAnswer)
_acks: TypeAdapter[list[PageAck]] = TypeAdapter(list[PageAck])
_addresses: TypeAdapter[list[str]] = TypeAdapter(list[str])


@dataclass(frozen=True)
class TextOut:
    text: str
    mentions: list[str]
    quoted: str | None


@dataclass(frozen=True)
class FileOut:
    """A file on the disk. It has to stay there until the message has gone out: the page reads it as it needs it."""

    path: Path
    type: FileType
    mimetype: str
    filename: str
    caption: str | None
    voice: bool


class PageOutgoing:
    """Every call raises what WhatsAppPage.call raises, and PageMalformed for an answer that is none."""

    def __init__(self, page: WhatsAppPage) -> None:
        self._page = page

    async def look_for(self, to: str, message_id: str, *, is_file: bool) -> SendAnswer | None:
        """How far the message with this id is, None where the chat does not have it and it is not under way."""
        what = {
            "id": message_id,
            "to": to,
            "kind": "file" if is_file else "text",
            "lookOnly": True,
            "within_ms": round(LOOK_WITHIN_S * 1000),
        }
        return _unless_not_found(await self._deliver(what, LOOK_WITHIN_S))

    async def look_for_reaction(self, message_key: str, reaction: str) -> SendAnswer | None:
        """Our reaction to a message where it is this one, else None."""
        answer = await self._page.call("reactionIs", message_key, reaction, within_s=LOOK_WITHIN_S + MARGIN_S)
        return _unless_not_found(checked_as(_answer, answer))

    async def send_text(self, to: str, message_id: str, out: TextOut, within_s: float) -> SendAnswer:
        """Send a message with this id, unless it was sent before; then how far it is."""
        what = {"id": message_id, "to": to, "kind": "text", "within_ms": round(within_s * 1000)}
        content = {"text": out.text, "mentions": out.mentions, "quoted": out.quoted}
        return await self._deliver({**what, **content}, within_s)

    async def send_file(self, to: str, message_id: str, out: FileOut, within_s: float) -> SendAnswer:
        """As send_text."""
        await self._give_file(message_id, out.path)
        try:
            what = {
                "id": message_id,
                "to": to,
                "kind": "file",
                "token": message_id,
                "within_ms": round(within_s * 1000),
            }
            content = {"type": out.type, "caption": out.caption, "filename": out.filename, "voice": out.voice}
            return await self._deliver({**what, **content, "mimetype": out.mimetype}, within_s)
        finally:
            with contextlib.suppress(ContractError):
                await self._page.call("dropFile", message_id)

    async def react(self, message_key: str, reaction: str, within_s: float) -> SendAnswer:
        """See to it that our reaction to a message is this one; an empty one takes it back."""
        return checked_as(_answer, await self._page.call("react", message_key, reaction, within_s=within_s + MARGIN_S))

    async def knows_chat(self, to: str) -> bool:
        """Whether the page has this chat."""
        return await self._page.call("knowsChat", to, within_s=ANSWER_WITHIN_S + MARGIN_S) is not False

    async def is_stranger(self, to: str) -> bool:
        """Whether it is a private chat of somebody who never wrote to this account."""
        return await self._page.call("isStranger", to, within_s=ANSWER_WITHIN_S + MARGIN_S) is True

    async def aliases(self, to: str, *, ask: bool = False, within_s: float = ANSWER_WITHIN_S) -> list[str]:
        """The lid and the phone's address of the same person, as far as they are known; with `ask` WhatsApp's server
        is asked for a number that the page does not know. A number may be another one there, as in Brazil."""
        if ask:
            within_s = LOOK_WITHIN_S
        return checked_as(_addresses, await self._page.call("aliases", to, ask, within_s=within_s))

    async def acks_of(self, message_keys: list[str]) -> list[PageAck]:
        """How far messages have come, from the page's store."""
        return checked_as(_acks, await self._page.call("acksOf", message_keys, within_s=ACKS_WITHIN_S))

    async def _deliver(self, what: dict[str, Any], within_s: float) -> SendAnswer:
        return checked_as(_answer, await self._page.call("deliver", what, within_s=within_s + MARGIN_S))

    async def _give_file(self, token: str, path: Path) -> None:
        """The file's name goes to the browser, which reads it itself: no byte of it comes through here."""
        session = self._page.session
        expression = f"globalThis.waAgent ? waAgent.fileInput({_json(token)}) : null"
        answer = await session.call("Runtime.evaluate", {"expression": expression}, within_s=ANSWER_WITHIN_S)
        element = answer["result"].get("objectId")
        if element is None:
            raise PageTimeout("the page takes no file")
        given = {"files": [str(path)], "objectId": element}
        await session.call("DOM.setFileInputFiles", given, within_s=ANSWER_WITHIN_S)
        session.send("Runtime.releaseObject", {"objectId": element})


def _unless_not_found(answer: SendAnswer) -> SendAnswer | None:
    return None if answer.result == "NOT_FOUND" else answer


def _json(text: str) -> str:
    return _text.dump_json(text).decode()


_text: TypeAdapter[str] = TypeAdapter(str)
