"""Messages as the control API takes them."""

from __future__ import annotations

from typing import Any

from tests.whatsapp_web.people import ME

Json = dict[str, Any]


def compose_message(**given: Any) -> Json:
    """What is given of a message; the server chooses the rest."""
    return {name: value for name, value in given.items() if value is not None}


def compose_attributes(given: Json | None, quote: str | None, forwarded: bool, ephemeral_s: int | None) -> Json:
    """The site's names for what a message says of itself."""
    named = dict(given or {})
    if quote is not None:
        from_me, chat, quoted_id, *group_author = quote.split("_")
        author = group_author[0] if group_author else ME.phone if from_me == "true" else chat
        named |= {"quotedStanzaID": quoted_id, "quotedParticipant": author}
    if forwarded:
        named |= {"isForwarded": True, "forwardingScore": 1}
    if ephemeral_s is not None:
        named |= {"ephemeralDuration": ephemeral_s}
    return named
