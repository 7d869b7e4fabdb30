"""Handlers of the commands about chats and messages in; see handlers.py."""

import contextlib
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from whatsapp_contract.arguments import BackfillArgs, FollowChatsArgs, ListChatsArgs, ListGroupsArgs, NoArgs
from whatsapp_contract.errors import ContractError, NotReady
from whatsapp_contract.results import (
    BackfillResult,
    ChatInfo,
    FollowChatsResult,
    GroupInfo,
    GroupMember,
    ListChatsResult,
    ListGroupsResult,
    ScreenshotResult,
)

from .follow_rules import Chat
from .message_data import person
from .whatsapp.models import PageGroup

if TYPE_CHECKING:
    from .agent import BrowserAgent
    from .whatsapp.history import PageHistory


async def follow_chats(agent: "BrowserAgent", args: FollowChatsArgs) -> FollowChatsResult:
    """Raises StoreUnavailable where the new rules cannot be kept."""
    if args.chats is not None:
        await agent.follow.change(tuple(args.chats))
        agent.audit.want()
    matching: int | None = None
    with contextlib.suppress(ContractError):
        chats = await _history(agent).chats()
        matching = sum(agent.follow.follows(Chat.of(chat)) for chat in chats)
    return FollowChatsResult(chats=list(agent.follow.rules), since=_time(agent.follow.since_s), matching=matching)


async def list_chats(agent: "BrowserAgent", args: ListChatsArgs) -> ListChatsResult:
    """Raises NotReady without an account."""
    chats = [
        ChatInfo(
            id=chat.id,
            name=chat.name,
            is_group=chat.is_group,
            followed=agent.follow.follows(Chat.of(chat)),
            last_message_at=_time(chat.t or None),
            unread=chat.unread,
            archived=chat.archived,
        )
        for chat in await _history(agent).chats()
    ]
    return ListChatsResult(chats=[chat for chat in chats if chat.followed or not args.followed_only])


async def list_groups(agent: "BrowserAgent", args: ListGroupsArgs) -> ListGroupsResult:
    """Raises NotReady without an account."""

    def info(group: PageGroup) -> GroupInfo:
        members = [
            GroupMember(**person(member.who).model_dump(), name=member.name, is_admin=member.is_admin)
            for member in group.members
        ]
        return GroupInfo(
            id=group.id,
            name=group.name,
            size=len(members),
            followed=agent.follow.follows(Chat((group.id,), group.name, True)),
            created_at=_time(group.created or None),
            members=members if args.members else [],
        )

    return ListGroupsResult(groups=[info(group) for group in await _history(agent).groups()])


async def backfill(agent: "BrowserAgent", args: BackfillArgs) -> BackfillResult:
    """Raises NotReady while messages do not flow, NotFound for a chat that is not followed or not there."""
    return await agent.audit.backfill(args.chat_id, args.days)


async def screenshot(agent: "BrowserAgent", _args: NoArgs) -> ScreenshotResult:
    """Raises BrowserGone, PageTimeout, PageCrashed, StoreUnavailable (no room on the disk)."""
    from .screenshots import take

    started = time.monotonic()
    path, size = await take(agent.page(), agent.settings.session_dir / "screenshots")
    return ScreenshotResult(path=str(path), size=size, took_ms=round((time.monotonic() - started) * 1000, 1))


def _history(agent: "BrowserAgent") -> "PageHistory":
    from .whatsapp.history import PageHistory

    page = agent.page()
    if not page.snapshot.injected or not page.snapshot.authenticated:
        raise NotReady(f"there are no chats while {agent.state}")
    return PageHistory(page)


def _time(epoch_s: float | None) -> datetime | None:
    return None if epoch_s is None else datetime.fromtimestamp(epoch_s, UTC)


HANDLERS: dict[str, Callable[["BrowserAgent", Any], Awaitable[BaseModel]]] = {
    handler.__name__: handler for handler in (follow_chats, list_chats, list_groups, backfill, screenshot)
}
