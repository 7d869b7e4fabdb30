"""Doors: people, groups and how chats stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.whatsapp_web.doors.base import Doors, Json


class GroupDoors(Doors):
    """Who is there, who is in which group, and what the account's owner set for a chat."""

    def add_person(
        self, phone: str, lid: str, name: str, *, has_chat: bool = False, dialled: str | None = None
    ) -> None:
        """Add a contact; an unknown author of a message becomes one by itself."""
        self._control.call("add_person", phone=phone, lid=lid, name=name, has_chat=has_chat, dialled=dialled)

    def add_group(
        self, group_id: str, subject: str, members: Sequence[str], admins: Sequence[str] | None = None
    ) -> None:
        """Add a group, or change it without a word; members are phone addresses, the account alone is its admin."""
        named: Json = {} if admins is None else {"admins": list(admins)}
        self._control.call("add_group", id=group_id, subject=subject, members=list(members), **named)

    def group_change(
        self,
        group_id: str,
        subtype: str,
        people: Sequence[str] = (),
        author: str | None = None,
        *,
        subject: str | None = None,
    ) -> str:
        """Change a group and say so in it: add, invite (joined by a link), remove, leave, promote, demote, subject.

        Returns the key of the notification, a message of type `gp2`. The author is Anna, or who left or joined.
        """
        key: str = self._control.call(
            "group_change", group_id=group_id, subtype=subtype, people=list(people), author=author, subject=subject
        )
        return key

    def set_chat(self, chat: str, **settings: Any) -> None:
        """Set what the owner sets for a chat, by the site's names: `archive`, `unreadCount`, `muteExpiration` ..."""
        self._control.call("set_chat", chat=chat, **settings)
