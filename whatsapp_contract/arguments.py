"""What each command takes; an unknown argument is refused."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

from .addresses import NO_ADDRESS, NO_PHONE_NUMBER, canonical, chat_of, phone_number
from .errors import BadArguments


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


INCIDENT_ID_PATTERN = r"^[A-Za-z0-9_.:-]{1,64}$"

Cause = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class NoArgs(_Strict):
    """The command takes no arguments."""


class CauseArgs(_Strict):
    """Why it is done; goes into the event that tells of it."""

    cause: Cause = "command"


class RungArgs(CauseArgs):
    """As CauseArgs; `incident` is the id of the incident in which it is a rung."""

    incident: Annotated[str, StringConstraints(pattern=INCIDENT_ID_PATTERN)] | None = None


# -- arguments: chats and messages

IDEMPOTENCY_KEY_PATTERN = r"^[A-Za-z0-9_.:-]{1,128}$"
MAX_TEXT_CHARS = 65_536  # WhatsApp's own limit
MAX_FOLLOW_RULES = 10_000
SIGNED_FOR_AT_MOST_S = 7 * 24 * 3600  # S3's own limit


# Who gives what can be none is told in a sentence, without the value: it may be somebody's number.


def _address(given: str) -> str:
    try:
        return canonical(given)
    except BadArguments:
        raise PydanticCustomError("address", "{reason}", {"reason": NO_ADDRESS}) from None


def _phone_number(given: str) -> str:
    try:
        return phone_number(given)
    except BadArguments:
        raise PydanticCustomError("phone_number", "{reason}", {"reason": NO_PHONE_NUMBER}) from None


def _message_key(given: str) -> str:
    try:
        chat_of(given)
    except (BadArguments, IndexError):
        is_key = False
    else:
        is_key = re.fullmatch(r"(true|false)_[^\s_]+@[^\s_]+_\S+", given) is not None
    if not is_key:
        raise PydanticCustomError(
            "message_key", "a message's key is what its event has as `key`, as in true_393331111111@c.us_3EB0C0FFEE"
        )
    return given


def _idempotency_key(given: str) -> str:
    if re.fullmatch(IDEMPOTENCY_KEY_PATTERN, given) is None or given.endswith("\n"):
        raise PydanticCustomError(
            "idempotency_key", "a key of the backend's own is 1 to 128 letters, digits and `_`, `.`, `:`, `-`"
        )
    return given


# Where a pattern says all of it, whoever reads the schema is told; the message to who breaks it is the sentence above.
Address = Annotated[
    str,
    StringConstraints(max_length=100),
    AfterValidator(_address),
    Field(
        description="A chat's id as in events, or a phone number with its country code, however it is written.",
        examples=["120363000000000001@g.us", "+39 333 111 1111"],
    ),
]
"""In its one form, see addresses.py."""
PhoneNumber = Annotated[
    str,
    StringConstraints(max_length=100),
    AfterValidator(_phone_number),
    Field(description=NO_PHONE_NUMBER, examples=["+39 333 111 1111"]),
]
"""With its country code; digits alone, see addresses.py."""
MessageKey = Annotated[
    str,
    StringConstraints(max_length=512),
    AfterValidator(_message_key),
    Field(description="What a message's event has as `key`.", examples=["true_393331111111@c.us_3EB0C0FFEE"]),
]
IdempotencyKey = Annotated[
    str,
    AfterValidator(_idempotency_key),
    Field(description="The backend's own.", json_schema_extra={"pattern": IDEMPOTENCY_KEY_PATTERN}),
]
Text = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT_CHARS)]
FileName = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^/\x00-\x1f]+$")]
FollowRule = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class PairingCodeArgs(_Strict):
    """`phone` is the number of the account that is to be linked; its phone is notified."""

    phone: PhoneNumber


class FollowChatsArgs(_Strict):
    """The new rules, as in FOLLOW_CHATS; without any the present ones are answered."""

    chats: Annotated[list[FollowRule], Field(min_length=1, max_length=MAX_FOLLOW_RULES)] | None = None


class ListChatsArgs(_Strict):
    followed_only: bool = False


class ListGroupsArgs(_Strict):
    """Without members the answer is smaller."""

    members: bool = True


class BackfillArgs(_Strict):
    """Tell what the backend may have missed: of one chat or of all that are followed, since their watermarks or, with
    `days`, of so many days, what was told already included (`key` tells)."""

    chat_id: Address | None = None
    days: Annotated[float, Field(gt=0, le=3650)] | None = None


class MediaRetryArgs(_Strict):
    """Files that failed, by their messages' keys; without keys all of them."""

    keys: Annotated[list[str], Field(min_length=1, max_length=10_000)] | None = None


class MediaUrlArgs(_Strict):
    key: Annotated[str, StringConstraints(min_length=1, max_length=512)]
    expires_in_s: Annotated[int, Field(ge=1, le=SIGNED_FOR_AT_MOST_S)] = 3600


class SendTextArgs(_Strict):
    """`idempotency_key` is the backend's own: however often it is given, the message goes out once."""

    idempotency_key: IdempotencyKey
    chat_id: Address
    text: Text
    mentions: Annotated[list[Address], Field(max_length=1000)] = []


class SendMediaArgs(_Strict):
    """`source` is an https:// address, s3://bucket/key, or file:// or a path below DATA_DIR/outgoing or of a stored
    file. `kind` says as what it is sent; by default as its type is."""

    idempotency_key: IdempotencyKey
    chat_id: Address
    source: Annotated[str, StringConstraints(min_length=1, max_length=4096)]
    caption: Annotated[str, StringConstraints(max_length=MAX_TEXT_CHARS)] | None = None
    filename: FileName | None = None
    mimetype: Annotated[str, StringConstraints(pattern=r"^[\w.+-]+/[\w.+-]+(;.*)?$", max_length=200)] | None = None
    kind: Literal["auto", "image", "video", "audio", "voice", "document", "sticker"] = "auto"


class SendReplyArgs(_Strict):
    """A text that quotes a message, in that message's chat."""

    idempotency_key: IdempotencyKey
    message_key: MessageKey
    text: Text
    mentions: Annotated[list[Address], Field(max_length=1000)] = []


class SendReactionArgs(_Strict):
    """An emoji for a message; an empty one takes the reaction back."""

    idempotency_key: IdempotencyKey
    message_key: MessageKey
    reaction: Annotated[str, StringConstraints(max_length=64)]


class SendKeyArgs(_Strict):
    idempotency_key: IdempotencyKey


class CarrySendArgs(_Strict):
    """`give_up` where the worker knows that no further try is to be made, and why: an error's code."""

    idempotency_key: IdempotencyKey
    give_up: Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,32}$")] | None = None


class SuppressArgs(_Strict):
    """Addresses that are never to be written to, or are again; without any the list is answered."""

    add: Annotated[list[Address], Field(max_length=10_000)] = []
    remove: Annotated[list[Address], Field(max_length=10_000)] = []
