"""Commands about files."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from browser_agent.session.errors import SessionError
from whatsapp_contract.arguments import MediaRetryArgs, MediaUrlArgs
from whatsapp_contract.errors import NotFound, StoreUnavailable
from whatsapp_contract.media_record import MediaState
from whatsapp_contract.results import MediaRetryResult, MediaUrlResult

from .requests import Link, MediaWorkError, SignLink

if TYPE_CHECKING:
    from browser_agent.agent import BrowserAgent

SIGN_WITHIN_S = 8.0


async def media_retry(agent: "BrowserAgent", args: MediaRetryArgs) -> MediaRetryResult:
    retried, unknown = await agent.media.retry(args.keys)
    return MediaRetryResult(retried=retried, unknown=unknown)


async def media_url(agent: "BrowserAgent", args: MediaUrlArgs) -> MediaUrlResult:
    """Raises NotFound for a file that is not stored (or was, longer ago than the ledger remembers), and
    StoreUnavailable where no link can be signed."""
    record = await agent.media.ledger.record(args.key)
    if record is None or record.state is not MediaState.STORED or record.url is None:
        raise NotFound("no file of this message is known to be stored")
    if not record.url.startswith("s3://"):
        return MediaUrlResult(url=record.url, expires_at=None)
    expires_at = datetime.now(UTC) + timedelta(seconds=args.expires_in_s)
    request = SignLink(url=record.url, expires_in_s=args.expires_in_s)
    try:
        link = await agent.media.process.ask(request, Link, SIGN_WITHIN_S)
    except (SessionError, MediaWorkError) as error:
        raise StoreUnavailable(str(error)) from error
    return MediaUrlResult(url=link.url, expires_at=expires_at)


Handler = Callable[["BrowserAgent", Any], Awaitable[BaseModel]]

HANDLERS: dict[str, Handler] = {handler.__name__: handler for handler in (media_retry, media_url)}
