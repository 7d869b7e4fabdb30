"""Which chats are followed. Pure.

A rule is a chat's id, a pattern for its name (`Family*`, `?` for one character, case does not matter), or a word:
`groups`, `private`, `all`. With `!` before it a rule takes out; what takes out wins. Statuses, broadcasts and
newsletters are never followed.
"""

from collections.abc import Iterable
from fnmatch import fnmatchcase

_NEVER = ("@broadcast", "@newsletter")


class FollowRules:
    """Made of rules in any order. No rule that takes in means that nothing is followed."""

    def __init__(self, rules: Iterable[str]) -> None:
        self.rules = tuple(rules)
        self._takes_in = [rule for rule in self.rules if not rule.startswith("!")]
        self._takes_out = [rule[1:].strip() for rule in self.rules if rule.startswith("!")]

    def follows(self, chat_id: str, name: str | None, is_group: bool) -> bool:
        """Whether the chat is followed, under its present name."""
        if chat_id.endswith(_NEVER):
            return False
        return any(_fits(rule, chat_id, name, is_group) for rule in self._takes_in) and not any(
            _fits(rule, chat_id, name, is_group) for rule in self._takes_out
        )


def _fits(rule: str, chat_id: str, name: str | None, is_group: bool) -> bool:
    match rule.lower():
        case "all":
            return True
        case "groups":
            return is_group
        case "private":
            return not is_group
    if "@" in rule and " " not in rule:
        return rule == chat_id
    return name is not None and fnmatchcase(name.lower(), rule.lower())
