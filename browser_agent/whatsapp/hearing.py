"""When the page's store last got a message, when the page last told of one, and since when one stands untold."""

from .models import StoreSeen


class Hearing:
    """One page's. Times are loop times; those of the store are as of the last answer of the page."""

    def __init__(self) -> None:
        self.stored_at: float | None = None
        self.told_at: float | None = None
        self.unheard_since: float | None = None
        self._missed = 0  # in the present document

    def on_document(self) -> None:
        """A new document hears anew. What the former one did not tell is the gap audit's."""
        self.unheard_since = None
        self._missed = 0

    def on_told(self, now: float) -> None:
        """The page told of a message."""
        self.told_at = now

    def take(self, seen: StoreSeen, now: float) -> bool:
        """What the page found in its store. Whether messages were missed that were not known to be."""
        if seen.stored_ago_ms is not None:
            self.stored_at = now - seen.stored_ago_ms / 1000
        self.unheard_since = None if seen.unheard_for_ms is None else now - seen.unheard_for_ms / 1000
        is_more, self._missed = seen.missed > self._missed, seen.missed
        return is_more
