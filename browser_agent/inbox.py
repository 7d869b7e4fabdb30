"""Messages in: what the page tells becomes events, of followed chats alone, each key once.

A message's claim, its event, its file's entry in the photo ledger and its chat's watermark are one step in Redis. The
watermark moves with live messages only while nothing can be missing before them: not from the moment at which the
session left `ready` (or the page was loaded, or events could not be kept) until the gap audit has been through, and
not in a chat of which something is known to be missing.
"""

from collections.abc import Callable, Sequence
from typing import Literal

from whatsapp_contract.event_script import RedisCommand
from whatsapp_contract.events import EventType, MessageData

from .event_log import EventLog
from .follow import Follow
from .follow_rules import Chat
from .message_data import message_data
from .watermarks import Watermarks
from .whatsapp.models import PageMessage

Ledger = Callable[[MessageData], Sequence[RedisCommand]]


class Inbox:
    """One per agent. `ledger` gives the commands that enter a message's file into the photo ledger."""

    def __init__(self, event_log: EventLog, follow: Follow, watermarks: Watermarks, ledger: Ledger) -> None:
        self.is_contiguous = False
        self.held: set[str] = set()  # chats of which something earlier is still missing
        self.latest: dict[str, tuple[int, str]] = {}  # of each chat: time and key of the last message told or claimed
        self.on_told: Callable[[], None] = lambda: None  # a `message` event is in the stream
        self._event_log = event_log
        self._follow = follow
        self._watermarks = watermarks
        self._ledger = ledger

    def take(self, message: PageMessage) -> None:
        """What the page told just now."""
        if self._follow.follows(Chat.of_message(message)):
            self.tell(message, "live")

    def tell(
        self,
        message: PageMessage,
        source: Literal["live", "backfill"],
        *,
        again: bool = False,
        sent: Callable[[bool], None] = lambda _told: None,
    ) -> None:
        """Publish a message unless it was told before; with `again` also then. `sent` hears whether it was."""
        data = message_data(message, source)
        t = int(data.sent_at.timestamp())
        also = list(self._ledger(data)) if data.media is not None else []
        moves = None
        if self.is_contiguous and data.chat_id not in self.held and data.target_key is None:
            moves = self._watermarks.advancing(data.chat_id, data.key, t)
            also += [moves] if moves else []

        def on_sent(told: bool) -> None:
            if told:
                self.on_told()
            if data.target_key is None:
                self.latest[data.chat_id] = max(self.latest.get(data.chat_id, (0, "")), (t, data.key))
            if moves and told:
                self._watermarks.advanced(data.chat_id, data.key, t)
            sent(told)

        claim = None if again else data.key
        self._event_log.publish(EventType.MESSAGE, data, data.sent_at, claim=claim, also=also, sent=on_sent)
