"""Calls of the control API: people, groups and how chats stand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from tests.whatsapp_web.people import Group, Person
from tests.whatsapp_web.server.control_changes import ChangeCalls

Changed = Callable[[Group, tuple[str, ...]], Group]


def _without(group: Group, people: tuple[str, ...]) -> Group:
    members = tuple(member for member in group.members if member not in people)
    return replace(group, members=members, admins=tuple(admin for admin in group.admins if admin in members))


def _with(group: Group, people: tuple[str, ...]) -> Group:
    return replace(group, members=(*group.members, *(one for one in people if one not in group.members)))


CHANGES: dict[str, Changed] = {
    "add": _with,
    "invite": _with,
    "remove": _without,
    "leave": _without,
    "promote": lambda group, people: replace(group, admins=tuple({*group.admins, *people})),
    "demote": lambda group, people: replace(group, admins=tuple(a for a in group.admins if a not in people)),
}


class GroupCalls(ChangeCalls):
    """Who is there, who is in which group, and what the account's owner set for a chat."""

    def add_person(self, **person: Any) -> None:
        added = Person(**person)
        self._site.account.people[added.phone] = added
        self._site.tell_roster()

    def add_group(self, **group: Any) -> None:
        sequences = {name: tuple(group[name]) for name in ("members", "admins") if name in group}
        added = Group(**{**group, **sequences})
        self._site.account.groups[added.id] = added
        self._site.tell_roster()

    def group_change(
        self, group_id: str, subtype: str, people: Sequence[str], author: str | None, subject: str | None
    ) -> str:
        account = self._site.account
        group = account.group(group_id)
        who = tuple(account.person(one).phone for one in people)
        if subtype == "subject":
            changed = replace(group, subject=subject or group.subject)
        else:
            changed = CHANGES[subtype](group, who)
        account.groups[group_id] = changed
        if author is None:
            author = who[0] if subtype in ("leave", "invite") and who else None
        told = {"subtype": subtype, "recipients": [self._site.address_in(group_id, one) for one in who]}
        message = self._site.compose(subject, chat=group_id, author=author, type="gp2", attributes=told)
        self._site.tell_roster()
        self._site.deliver([message])
        return message.key

    def set_chat(self, chat: str, **settings: Any) -> None:
        account = self._site.account
        account.chats[chat] = {**account.chats.get(chat, {}), **settings}
        self._site.tell_roster()
