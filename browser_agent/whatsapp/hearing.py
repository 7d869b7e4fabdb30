"""When the page's store last got a message, when the page last told of one, and since when one stands untold.

One is untold where the page says so, and where its store has one from after the last that arrived here: what the page
believes to have told may have been lost on the way, or have been no message.

One that cannot be read was heard: it is the gap audit's, and no new page would read it. From the second in a row on it
may be the page that lets none be read, and they count as untold.
"""

from collections.abc import Iterable

from .models import StoreSeen

_MARGIN_S = 1.0  # a message is in the store, and told, at the same time
_MESSAGE = "message"
_TELLS_MESSAGES = frozenset({_MESSAGE, "edit", "revocation", "reaction"})  # what of the bridge (messages.js)
_OF_A_MESSAGE = "message."  # where an event is wrong that should have told of one


class Hearing:
    """One page's. Times are loop times; those of the store are as of the last answer of the page, and not too late."""

    def __init__(self) -> None:
        self.stored_at: float | None = None
        self.told_at: float | None = None
        self._unheard_since: float | None = None  # by the page
        self._lost_since: float | None = None  # by us
        self._unreadable_at: float | None = None  # the only one since one was told
        self._unreadable = 0  # in a row
        self._missed = 0  # in the present document

    @property
    def unheard_since(self) -> float | None:
        """Since when a message is in the store that did not arrive here."""
        return min(filter(None, (self._unheard_since, self._lost_since)), default=None)

    def on_document(self) -> None:
        """A new document hears anew. What the former one did not tell is the gap audit's."""
        self._unheard_since = self._lost_since = self._unreadable_at = None
        self._missed = self._unreadable = 0

    def on_told(self, now: float) -> None:
        """The page told of a message."""
        self.told_at = now
        self._lost_since = self._unreadable_at = None
        self._unreadable = 0

    def on_trouble(self, where: str, now: float) -> bool:
        """The page could not tell of something. Whether that is missed now."""
        if where == _MESSAGE:
            self._on_unreadable(now)
        return where in _TELLS_MESSAGES

    def on_malformed(self, problems: Iterable[str], now: float) -> bool:
        """The page told what is none, with the places where it is wrong. Whether a message is missed now."""
        is_of_a_message = any(where.startswith(_OF_A_MESSAGE) for where in problems)
        if is_of_a_message:
            self._on_unreadable(now)
        return is_of_a_message

    def _on_unreadable(self, now: float) -> None:
        self._unreadable += 1
        self._unreadable_at = now if self._unreadable == 1 else None

    def take(self, seen: StoreSeen, asked_at: float) -> bool:
        """What the page found in its store when it was asked. Whether messages were missed, and that is news."""
        self._unheard_since = None if seen.unheard_for_ms is None else asked_at - seen.unheard_for_ms / 1000
        if seen.stored_ago_ms is not None:
            self.stored_at = asked_at - seen.stored_ago_ms / 1000
            heard_at = max(filter(None, (self.told_at, self._unreadable_at)), default=None)
            is_lost = heard_at is None or self.stored_at > heard_at + _MARGIN_S
            if is_lost and self._lost_since is None:
                self._lost_since = self.stored_at
        is_more, self._missed = seen.missed > self._missed, seen.missed
        return is_more
