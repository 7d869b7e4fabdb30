"""The account as the server keeps it: people, groups, linked devices, messages."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.whatsapp_web.people import ANNA, BRUNO, FAMILY, ME, Group, Person
from tests.whatsapp_web.server.messages import Frame, Message, Notice
from tests.whatsapp_web.server.sends import Sends

# A newly linked device is told this many of the latest messages.
HISTORY_LIMIT = 500


def random_key() -> str:
    """32 random bytes, as keys travel."""
    return base64.b64encode(secrets.token_bytes(32)).decode()


@dataclass
class Device:
    """A linked browser: it proves the key that was minted at pairing whenever it connects."""

    number: int
    key: str = field(default_factory=random_key)
    # What this device has not acknowledged, oldest first.
    undelivered: dict[str, Message | Notice] = field(default_factory=dict)
    # Those of them that are older than the device itself: it learns of them as history, not as news.
    history: set[str] = field(default_factory=set)

    def proves(self, challenge: str, proof: str) -> bool:
        expected = hmac.new(base64.b64decode(self.key), challenge.encode(), hashlib.sha256).hexdigest()
        return hmac.compare_digest(expected, proof)

    def acknowledge(self, keys: Iterable[str]) -> None:
        for key in keys:
            message = self.undelivered.pop(key, None)
            self.history.discard(key)
            if message is not None and message.acked_at is None:
                message.acked_at = time.time()


class Account:
    """One WhatsApp account; `me` is the person whose phone links the devices."""

    def __init__(self) -> None:
        self.me = ME
        self.people = {person.phone: person for person in (ME, ANNA, BRUNO)}
        self.groups = {FAMILY.id: FAMILY}
        # what the owner set for a chat, by the site's names
        self.chats: dict[str, Frame] = {}
        self.devices: dict[int, Device] = {}
        self.messages: dict[str, Message] = {}
        self.sends = Sends()
        self._next_device = 1

    # --- people and groups

    def person(self, address: str) -> Person:
        """The person of a phone address or a lid; a stranger joins the account's world here."""
        for person in self.people.values():
            if address in (person.phone, person.lid):
                return person
        user, _, server = address.partition("@")
        lid = address if server == "lid" else f"9{user}@lid"
        phone = address if server != "lid" else f"9{user}@c.us"
        return self.people.setdefault(phone, Person(phone, lid, f"Person {user[-4:]}"))

    def group(self, group_id: str) -> Group:
        """The group of an id; an unknown one comes into being with everybody in it."""
        if group_id not in self.groups:
            subject = f"Group {group_id.partition('@')[0][-4:]}"
            self.groups[group_id] = Group(group_id, subject, tuple(self.people))
        return self.groups[group_id]

    def roster(self, lid_mapping: bool) -> Frame:
        """Everybody and every chat, as a device is told after it connected."""
        return {
            "contacts": [
                {"phone": p.phone, "lid": p.lid if lid_mapping else None, "name": p.name, "chat": p.has_chat}
                for p in self.people.values()
            ],
            "groups": self.groups_as_json(),
            "chats": self.chats,
        }

    def groups_as_json(self) -> list[Frame]:
        return [
            {
                "id": group.id,
                "subject": group.subject,
                "owner": self.me.phone,
                "creation": group.created,
                "participants": [{"id": m, "isAdmin": m in group.admins} for m in group.members],
            }
            for group in self.groups.values()
        ]

    # --- devices

    def new_device(self) -> Device:
        """Keys for a device that may become linked."""
        device = Device(self._next_device)
        self._next_device += 1
        return device

    def link(self, device: Device) -> None:
        """From here on the device is part of the account, and owed its recent history."""
        recent = [message for message in self.messages.values() if message.to_device][-HISTORY_LIMIT:]
        device.undelivered = {message.key: message for message in recent}
        device.history = set(device.undelivered)
        self.devices[device.number] = device

    # --- messages

    def accept(self, messages: Iterable[Message]) -> None:
        """Keep messages until every linked device acknowledged them."""
        for message in messages:
            self.messages[message.key] = message
            for device in self.devices.values() if message.to_device else ():
                device.undelivered[message.key] = message

    def owe(self, notice: Notice) -> None:
        """Have every linked device learn of something, however long it is away."""
        for device in self.devices.values():
            device.undelivered[notice.key] = notice

    def earlier(self, chat: str, before: Frame | None, count: int, device: Device) -> tuple[list[Message], bool]:
        """The latest `count` messages of a chat from before a place in it ({t, order}), and whether there are more.

        What is on its way to the device is none of them: it comes by itself, and as news.
        """
        found = [
            message
            for message in self.messages.values()
            if message.chat == chat
            and message.key not in device.undelivered
            and (before is None or (message.written_at, message.order) < (before["t"], before["order"]))
        ]
        found.sort(key=lambda message: (message.written_at, message.order))
        return found[-count:], len(found) > count
