"""One way to write an address, whichever way it was given. Pure."""

import re

from .errors import BadArguments

# What stands in a number for the eye alone: spaces, dashes, dots, brackets, and the marks for the direction of writing
# that come along when a number is copied from an address book.
_FOR_THE_EYE = re.compile(r"[\s().\[\]\u00ad\u2010-\u2015\u2212\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff-]+")
# No country's code begins with 0: with one 0 it is a number as it is dialled at home, whose country nobody knows.
_PERSON = re.compile(r"\+?(?:00)?([1-9]\d{4,19})(?::\d+)?", re.ASCII)
_PERSONS_ENDINGS = ("@c.us", "@s.whatsapp.net")
_PHONES_DIGITS = range(7, 16)
_LID = re.compile(r"(\d{5,20})(?::\d+)?@lid", re.ASCII)
_GROUP = re.compile(r"\d{5,25}(?:-\d{5,15})?@g\.us", re.ASCII)
_TRUNK_ZERO = re.compile(r"\(\s*0\s*\)")

NO_ADDRESS = (
    "an address is a phone number with its country code, as in +39 333 111 1111, or a chat's id ending in @c.us, @lid "
    "or @g.us"
)
NO_PHONE_NUMBER = "a phone number has its country code and 7 to 15 digits, as in +39 333 111 1111"


def canonical(address: str) -> str:
    """`393331111111@c.us` for a number, however it is written; `...@lid`; `...@g.us`.

    Raises BadArguments for what can be no chat's.
    """
    address = address.strip()
    if found := _LID.fullmatch(address):
        return f"{found[1]}@lid"
    if _GROUP.fullmatch(address):
        return address
    number = address
    for ending in _PERSONS_ENDINGS:
        number = number.removesuffix(ending)
    if digits := _number(number):
        return f"{digits}@c.us"
    raise BadArguments(NO_ADDRESS)


def phone_number(given: str) -> str:
    """`393331111111` for a phone number with its country code, however it is written. Raises BadArguments."""
    if (found := _number(given)) and ":" not in given and len(found) in _PHONES_DIGITS:
        return found
    raise BadArguments(NO_PHONE_NUMBER)


def _number(given: str) -> str | None:
    if _TRUNK_ZERO.search(given):  # whether it belongs to the number depends on the country
        return None
    found = _PERSON.fullmatch(_FOR_THE_EYE.sub("", given))
    return found[1] if found else None


def chat_of(message_key: str) -> str:
    """The chat in a message's key. Raises BadArguments."""
    return canonical(message_key.split("_")[1])


def is_group(chat_id: str) -> bool:
    return chat_id.endswith("@g.us")
