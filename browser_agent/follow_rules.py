"""Which chats are followed. Pure.

A rule is a chat's id, a pattern for its name (`Family*`, `?` for one character, case does not matter), or a word:
`groups`, `private`, `all`. With `!` before it a rule takes out; what takes out wins, and where it goes by a name that
is not known yet, it does. Statuses, broadcasts and newsletters are never followed.
"""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from .whatsapp.models import PageChat, PageMessage, PageWid

_NEVER = ("@broadcast", "@newsletter")
_WORDS = frozenset({"all", "groups", "private"})
_CLOSE = 0.83  # one letter more, one less, or two in the wrong order
_NUMBER = re.compile(r"^(!?)\s*\+?([0-9]{5,20})$")
_ID = re.compile(r"[0-9A-Za-z._:-]+@(c\.us|s\.whatsapp\.net|g\.us|lid|broadcast|newsletter)")


@dataclass(frozen=True)
class Chat:
    """What rules go by. `ids` are the id in use, and a person's other address where that is known."""

    ids: tuple[str, ...]
    name: str | None
    is_group: bool

    @classmethod
    def of(cls, chat: PageChat) -> "Chat":
        return cls(_ids(chat.id, chat.alias), chat.name, chat.is_group)

    @classmethod
    def of_message(cls, message: PageMessage) -> "Chat":
        return cls(_ids(message.chat_id, message.chat_alias), message.chat_name, message.is_group)


def normalised(rule: str) -> str:
    """A bare number is a person's chat."""
    return _NUMBER.sub(r"\1\2@c.us", rule)


def nearly_words(rules: Iterable[str]) -> dict[str, str]:
    """Rules that go by a chat's name and look as if a word was meant, with that word. One with `*` or `?` is meant."""
    found = {}
    for rule in rules:
        name = rule.removeprefix("!").strip()
        if not _is_pattern(normalised(name)) or "*" in name or "?" in name:
            continue
        # An env file's quotes may come along with what they are around.
        close = difflib.get_close_matches(name.strip("\"' ").lower(), _WORDS, n=1, cutoff=_CLOSE)
        if close:
            found[rule] = close[0]
    return found


class FollowRules:
    """Made of rules in any order. No rule that takes in means that nothing is followed."""

    def __init__(self, rules: Iterable[str]) -> None:
        self.rules = tuple(map(normalised, rules))
        self._takes_in = [rule for rule in self.rules if not rule.startswith("!")]
        self._takes_out = [rule[1:].strip() for rule in self.rules if rule.startswith("!")]
        self._go_by_name = any(_is_pattern(rule.removeprefix("!").strip()) for rule in self.rules)
        self._take_out_by_name = any(_is_pattern(rule) for rule in self._takes_out)

    def follows(self, chat: Chat) -> bool:
        """Whether the chat is followed, under its present name."""
        if any(chat_id.endswith(_NEVER) for chat_id in chat.ids):
            return False
        if chat.name is None and self._take_out_by_name:
            return False
        return any(_fits(rule, chat) for rule in self._takes_in) and not any(
            _fits(rule, chat) for rule in self._takes_out
        )

    def are_sure_of(self, chat: Chat) -> bool:
        """Whether its name, once it is known, cannot change the answer."""
        return chat.name is not None or not self._go_by_name


def _fits(rule: str, chat: Chat) -> bool:
    match rule.lower():
        case "all":
            return True
        case "groups":
            return chat.is_group
        case "private":
            return not chat.is_group
    if not _is_pattern(rule):
        return rule in chat.ids
    pattern = rule.lower().replace("[", "[[]")  # a bracket is a bracket
    return chat.name is not None and fnmatchcase(chat.name.lower(), pattern)


def _is_pattern(rule: str) -> bool:
    return rule.lower() not in _WORDS and _ID.fullmatch(rule) is None


def _ids(chat_id: str, alias: PageWid | None) -> tuple[str, ...]:
    others = (alias.lid, alias.phone) if alias else ()
    return (chat_id, *(other for other in others if other and other != chat_id))
