"""What the page tells us, checked at the border: the page's scripts are not ours."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class _FromPage(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class StreamSnapshot(_FromPage):
    """wa-js' view of the connection. Before wa-js found the page's modules only `injected` is known.

    `socket` is a local variable of the page that reads CONNECTED on a dead link too: it is never evidence.
    """

    injected: bool
    mode: str | None = None
    info: str | None = None
    socket: str | None = None
    authenticated: bool = False
    registered: bool = False
    version: str | None = None
    wa_js: str | None = None


class PageWid(_FromPage):
    """A person as the page knows them: `...@lid`, `...@c.us`, or both."""

    lid: str | None
    phone: str | None


class PageMedia(_FromPage):
    mimetype: str | None
    size: int | None
    filehash: str | None  # SHA-256 of the file, base64
    filename: str | None
    width: int | None
    height: int | None


class PageMessage(_FromPage):
    """A message as bridge.js sends it."""

    key: Annotated[str, Field(min_length=1, max_length=512)]
    chat_id: str
    chat_name: str | None
    is_group: bool
    author: PageWid
    from_me: bool
    type: str
    text: str | None
    t: int  # epoch seconds
    quoted_key: str | None
    forwarded: bool
    ephemeral: bool
    media: PageMedia | None


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


PageEvent = DocumentStarted | StreamChanged | QrShown | QrIdle | LoggedOut | MessageSeen

# The annotation is no class, which TypeAdapter takes and its stub does not say.
_DISCRIMINATED: Any = Annotated[PageEvent, Field(discriminator="kind")]
page_event: TypeAdapter[PageEvent] = TypeAdapter(_DISCRIMINATED)
