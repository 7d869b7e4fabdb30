"""What the page tells us, checked at the border: the page's scripts are not ours."""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, ValidatorFunctionWrapHandler
from pydantic.functional_validators import WrapValidator

T = TypeVar("T")


def _or_none(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    try:
        return check(value)
    except ValidationError:
        return None


def _or_empty(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    try:
        return check(value)
    except ValidationError:
        return []


# Better a message without this than no message.
_OrNone = Annotated[T | None, WrapValidator(_or_none)]
_OrEmpty = Annotated[list[T], WrapValidator(_or_empty)]


class _FromPage(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class StoreSeen(_FromPage):
    """What the page's store of messages has got, and how many of it were not told (bridge/hearing.js)."""

    stored_ago_ms: float | None = None
    unheard_for_ms: float | None = None
    missed: int = 0  # in this document


class StreamSnapshot(_FromPage):
    """wa-js' view of the connection. Before wa-js found the page's modules only `injected` and `online` are known.

    `socket` is a local variable of the page that reads CONNECTED on a dead link too: it is never evidence.
    """

    injected: bool
    online: _OrNone[bool] = None  # as the browser has it
    mode: str | None = None
    info: str | None = None
    socket: str | None = None
    authenticated: bool = False
    registered: bool = False
    version: str | None = None
    wa_js: str | None = None
    messages: _OrNone[StoreSeen] = None  # only where it was asked for


class PageWid(_FromPage):
    """A person as the page knows them: `...@lid`, `...@c.us`, or both."""

    lid: _OrNone[str] = None
    phone: _OrNone[str] = None


class ProbedBuild(_FromPage):
    """Which build of WhatsApp Web a page is, and the modules (named as in WPP.whatsapp) that our calls miss in it: all
    of them where wa-js was not injected, None where that says nothing of the build, since the document has not come
    whole, or is none of WhatsApp's."""

    version: str
    injected: bool = True
    missing: tuple[str, ...] | None = ()


class PageMedia(_FromPage):
    mimetype: _OrNone[str] = None
    size: _OrNone[int] = None
    filehash: _OrNone[str] = None  # SHA-256 of the file, base64
    filename: _OrNone[str] = None
    width: _OrNone[int] = None
    height: _OrNone[int] = None


class PageLocation(_FromPage):
    latitude: float
    longitude: float
    name: _OrNone[str] = None


class PageCard(_FromPage):
    name: _OrNone[str] = None
    vcard: _OrNone[str] = None


class PagePoll(_FromPage):
    question: str
    options: list[str]
    selectable: _OrNone[int] = None


class PageMessage(_FromPage):
    """A message, or what was done to one, as the bridge sends it."""

    key: Annotated[str, Field(min_length=1, max_length=1024)]
    chat_id: str
    chat_alias: _OrNone[PageWid] = None  # of a person's chat: both its addresses, as far as known
    chat_name: _OrNone[str] = None
    is_group: bool
    author: _OrNone[PageWid] = None
    from_me: bool
    type: str
    subtype: _OrNone[str] = None
    text: _OrNone[str] = None
    t: _OrNone[int] = None  # epoch seconds, mostly
    quoted_key: _OrNone[str] = None
    target_key: _OrNone[str] = None
    album_key: _OrNone[str] = None
    mentions: _OrEmpty[PageWid] = []
    forwarded: bool = False
    ephemeral: bool = False
    view_once: bool = False
    media: _OrNone[PageMedia] = None
    location: _OrNone[PageLocation] = None
    contacts: _OrEmpty[PageCard] = []
    poll: _OrNone[PagePoll] = None
    members: _OrEmpty[PageWid] = []


class PageChat(_FromPage):
    """A chat of the page's list. `t` is its last message's time, epoch seconds."""

    id: Annotated[str, Field(min_length=1)]
    alias: _OrNone[PageWid] = None  # of a person's chat
    name: _OrNone[str] = None
    is_group: bool
    t: _OrNone[int] = None
    unread: _OrNone[int] = None
    archived: bool = False


class PageMember(_FromPage):
    who: PageWid
    name: _OrNone[str] = None
    is_admin: bool = False


class PageGroup(_FromPage):
    id: str
    name: _OrNone[str] = None
    created: _OrNone[int] = None  # epoch seconds
    members: _OrEmpty[PageMember] = []


class DocumentStarted(_FromPage):
    """A new document: what was known of the former one is void."""

    kind: Literal["document"]
    path: str  # with the query: `/?post_logout=1` after a logout


class StreamChanged(_FromPage):
    kind: Literal["stream"]
    stream: StreamSnapshot


class QrShown(_FromPage):
    kind: Literal["qr"]
    payload: Annotated[str, Field(min_length=1, max_length=4096)]


class QrIdle(_FromPage):
    """The page stopped rotating the code and waits for somebody to ask for a new one."""

    kind: Literal["qr_idle"]


class LoggedOut(_FromPage):
    kind: Literal["logout"]


class MessageSeen(_FromPage):
    kind: Literal["message"]
    message: PageMessage


class HearsAll(_FromPage):
    """wa-js listens to everything from here on; what was done to messages before may have been missed."""

    kind: Literal["hears_all"]


class LocalStorageGiven(_FromPage):
    """The dump that the page was opened with is in this document's localStorage. Not for the agent."""

    kind: Literal["local_storage_given"]


class PageAck(_FromPage):
    """How far a message of ours has come: 1 the server has it, 2 received, 3 read, 4 played; `id` is the third part of
    its key. `by` is who received it, in groups."""

    id: Annotated[str, Field(min_length=1, max_length=128)]
    ack: int
    by: _OrNone[PageWid] = None


class AcksSeen(_FromPage):
    kind: Literal["acks"]
    acks: list[PageAck]


class SendAnswer(_FromPage):
    """How far a message is that was to be sent. `ack` 0 is on its way, -1 not gone out; `result` is wa-js' own word of
    it, null where the page knows nothing yet; `code` is the server's, where it refused and the page tells."""

    key: str
    ack: int
    result: _OrNone[str] = None
    code: _OrNone[str] = None


class Trouble(_FromPage):
    """Something of the bridge failed. Not for the agent."""

    kind: Literal["trouble"]
    where: str
    error: str  # the error's name: its text may be a message's


PageEvent = (
    DocumentStarted
    | StreamChanged
    | QrShown
    | QrIdle
    | LoggedOut
    | MessageSeen
    | AcksSeen
    | HearsAll
    | LocalStorageGiven
    | Trouble
)

# The annotation is no class, which TypeAdapter takes and its stub does not say.
_DISCRIMINATED: Any = Annotated[PageEvent, Field(discriminator="kind")]
page_event: TypeAdapter[PageEvent] = TypeAdapter(_DISCRIMINATED)
