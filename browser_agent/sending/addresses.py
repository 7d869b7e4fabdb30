"""One way to write an address, whichever way it was given. Pure."""

import re

from whatsapp_contract.errors import BadArguments

_PERSON = re.compile(r"\+?(\d{5,20})(?::\d+)?(?:@(?:c\.us|s\.whatsapp\.net))?", re.ASCII)
_LID = re.compile(r"(\d{5,20})(?::\d+)?@lid", re.ASCII)
_GROUP = re.compile(r"\d{5,25}(?:-\d{5,15})?@g\.us", re.ASCII)


def canonical(address: str) -> str:
    """`393331111111@c.us` for a number, however it is written; `...@lid`; `...@g.us`.

    Raises BadArguments for what can be no chat's.
    """
    if found := _PERSON.fullmatch(address):
        return f"{found[1]}@c.us"
    if found := _LID.fullmatch(address):
        return f"{found[1]}@lid"
    if _GROUP.fullmatch(address):
        return address
    raise BadArguments(
        "an address is a phone number with its country code, or a chat's id ending in @c.us, @lid, @g.us"
    )


def chat_of(message_key: str) -> str:
    """The chat in a message's key. Raises BadArguments."""
    return canonical(message_key.split("_")[1])


def is_group(chat_id: str) -> bool:
    return chat_id.endswith("@g.us")
