"""Who is on the stand-in's account before anybody adds to it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Person:
    """A user: `phone` is the @c.us address, `lid` the one that hides the number. `dialled` is the address of the
    number as it is dialled, where WhatsApp has another one for it."""

    phone: str
    lid: str
    name: str
    has_chat: bool = False
    dialled: str | None = None


@dataclass(frozen=True)
class Group:
    """A group chat; `members` and `admins` are phone addresses, the account itself included."""

    id: str
    subject: str
    members: tuple[str, ...]
    created: int = 1_700_000_000
    # the account alone, unless others are named
    admins: tuple[str, ...] = ("393330000001@c.us",)


ME = Person("393330000001@c.us", "100000000000001@lid", "Bot")
ANNA = Person("393331111111@c.us", "100000000000011@lid", "Anna", has_chat=True)
BRUNO = Person("393332222222@c.us", "100000000000022@lid", "Bruno")
FAMILY = Group("120363000000000001@g.us", "Family photos", (ME.phone, ANNA.phone, BRUNO.phone))
