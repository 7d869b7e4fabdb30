"""Everything the server side of the stand-in is, in one object that the routes and the tests talk to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from tests.whatsapp_web.options import Options
from tests.whatsapp_web.people import ANNA, FAMILY
from tests.whatsapp_web.server.account import Account
from tests.whatsapp_web.server.link_codes import LinkCode, LinkCodes
from tests.whatsapp_web.server.media import MediaStore
from tests.whatsapp_web.server.messages import Frame, Message, Notice
from tests.whatsapp_web.server.network import Network
from tests.whatsapp_web.server.page_hooks import PageHooks
from tests.whatsapp_web.server.session import Session

OF_A_FILE = frozenset({"image", "video", "audio", "ptt", "document", "sticker"})


class Site:
    """The account and the network to it; `reset()` makes it as new."""

    def __init__(self, options: Options) -> None:
        self._first_options = options
        self.hooks = PageHooks()
        self.network = Network()
        self.codes_changed = asyncio.Event()
        self._begin()

    def _begin(self) -> None:
        self.options = self._first_options
        self.account = Account()
        self.media = MediaStore()
        self.link_codes = LinkCodes()

    def reset(self) -> None:
        """Forget everything that happened; links are cut, linked devices are strangers."""
        self.network.drop(refuse_s=0)
        self.network = Network()
        self._begin()

    def saw_code(self, code: str) -> None:
        """A page shows a code: whoever holds a phone up to it can scan it."""
        ref, _, _ = code.partition(",")
        for session in self.network.sessions:
            if session.registration is not None and ref in session.registration.refs:
                session.registration.code_on_show = code if all(code.split(",")) else None
                self.codes_changed.set()

    def roster(self) -> Frame:
        return self.account.roster(self.options.lid_mapping)

    # --- messages to the page

    def compose(self, text: str | None = None, **given: Any) -> Message:
        """A message from somebody of the account's world, as the options have them addressed. Raises ValueError for
        one that no page could show."""
        if given.get("type") in OF_A_FILE and "directPath" not in (given.get("media") or {}):
            raise ValueError(
                f"a message of type {given['type']} has `media`: what an upload to /control/media answers"
            )
        chat = given.pop("chat", FAMILY.id)
        author = given.pop("author", None)
        if author is None:
            author = self.account.me.phone if given.get("from_me", False) else self.usual_author(chat)
        person = self.account.person(author)
        if chat.endswith("@g.us"):
            self.account.group(chat)
        author = chat if chat.endswith("@newsletter") else self.address_in(chat, author)
        return Message(chat, author, person.name, text, **given)

    def usual_author(self, chat: str) -> str:
        """Who writes in a chat when nobody is named."""
        return chat if chat.endswith(("@c.us", "@lid")) else ANNA.phone

    def address_in(self, chat: str, author: str) -> str:
        """How a chat shows somebody, as the options have them addressed."""
        person = self.account.person(author)
        return person.lid if self.options.author_lid and chat.endswith("@g.us") else author

    def deliver(self, messages: Sequence[Message]) -> None:
        """Accept messages and send them to every linked device that can be reached, all at once."""
        self.account.accept(messages)
        for session in self.network.logged_in():
            for message in messages:
                if message.to_device:
                    session.connection.send(message)

    def own_message(self, message_id: str) -> tuple[str, str]:
        """The key and the chat of a message of this account's own, by its id or its key."""
        send = self.account.sends.find(message_id)
        if send is not None:
            return str(send.message["id"]), send.chat
        for message in self.account.messages.values():
            if message.from_me and message_id in (message.id, message.key):
                return message.key, message.chat
        raise KeyError(message_id)

    def tell(self, frame: Frame) -> None:
        """Have every linked device learn of something else than a message: now, or when it comes back."""
        notice = Notice(frame)
        self.account.owe(notice)
        for session in self.network.logged_in():
            session.connection.send(notice)

    def tell_roster(self) -> None:
        """Let the pages know people and groups that are new to them."""
        for session in self.network.logged_in():
            session.connection.send({"type": "roster", "roster": self.roster()})

    def write_during_boot(self) -> None:
        """Messages written just as a page comes back, so that they reach it while it boots."""
        self.account.accept(
            self.compose(f"During boot {number}") for number in range(self.options.messages_during_boot)
        )

    # --- what pages ask

    def answer(self, session: Session, name: str, args: Frame) -> Any:
        answers: dict[str, Callable[[Session, Frame], Any]] = {
            "wid_exists": self._wid_exists,
            "all_groups": lambda *_: self.account.groups_as_json(),
            "earlier_messages": self._earlier_messages,
            "media_retry": self._media_retry,
            "link_code": self._link_code,
            "unlink": self._unlink,
        }
        return answers[name](session, args)

    def _wid_exists(self, _: Session, args: Frame) -> Frame | None:
        for person in self.account.people.values():
            if args["wid"] in (person.phone, person.lid, person.dialled):
                wid = person.phone if args["wid"] == person.dialled else args["wid"]
                return {"wid": wid, "lid": person.lid if self.options.lid_mapping else None}
        return None

    def _earlier_messages(self, session: Session, args: Frame) -> Frame:
        assert session.device is not None, "only a linked page asks for messages"
        messages, more = self.account.earlier(args["chat"], args["before"], args["count"], session.device)
        return {"messages": [message.as_history() for message in messages], "more": more}

    def _media_retry(self, _: Session, args: Frame) -> Frame:
        path = self.media.upload_again(args["key"], args["path"])
        message = self.account.messages.get(args["key"])
        if path is not None and message is not None:
            message.change({"media": {**(message.media or {}), "directPath": path}}, {})
        return {"directPath": path}

    def _link_code(self, session: Session, args: Frame) -> Frame:
        registration = session.registration
        assert registration is not None, "only an unpaired page asks for a link code"
        self.link_codes.asked.append(args)
        registration.code_on_show = registration.link_code = None  # what was on show lacks its secret now
        if self.link_codes.refusal:
            return {"error": self.link_codes.refusal}
        registration.link_code = LinkCode.make(args["phone"])
        return {"code": registration.link_code.code}

    def _unlink(self, session: Session, _: Frame) -> None:
        if session.device is not None:
            self.account.devices.pop(session.device.number, None)
