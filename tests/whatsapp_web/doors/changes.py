"""Doors: what people do to messages that are there."""

from __future__ import annotations

from tests.whatsapp_web.doors.base import Doors


class ChangeDoors(Doors):
    """Reactions, edits, revocations. A page that is away learns of them, in order, when it comes back."""

    def react(self, key: str, emoji: str, author: str | None = None) -> str:
        """Have somebody react to a message, or take the reaction back with an empty emoji; returns the reaction's key.

        Without an author it is the writer of the message, and Anna or the other side for one of this account's own.
        """
        reaction: str = self._control.call("react", key=key, emoji=emoji, author=author)
        return reaction

    def edit(self, key: str, text: str) -> str:
        """Have the writer of a message change its text or caption; returns the key of the edit."""
        edit: str = self._control.call("edit", key=key, text=text)
        return edit

    def revoke(self, key: str, author: str | None = None) -> None:
        """Have a message taken back: by its writer, or (an `admin_revoke`) by another author."""
        self._control.call("revoke", key=key, author=author)
