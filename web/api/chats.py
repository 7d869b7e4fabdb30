"""/api/chats, /api/groups: asked of the page, so they need a session that is ready."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path

from web.here import Here
from web.problems import Problem
from whatsapp_contract.results import ChatInfo, GroupInfo, ListChatsResult, ListGroupsResult

ChatId = Annotated[str, Path(max_length=100)]


def routes(here: Here) -> APIRouter:
    router = APIRouter(tags=["chats"], dependencies=[Depends(here.gate.view)])

    @router.get("/chats")
    async def chats(followed_only: bool = False) -> list[ChatInfo]:
        """All chats, or those that are followed."""
        result = await here.client.call("list_chats", {"followed_only": followed_only})
        assert isinstance(result, ListChatsResult)
        return result.chats

    @router.get("/groups")
    async def groups(members: bool = False) -> list[GroupInfo]:
        """All groups; with `members` who is in them."""
        return await _groups(here, members=members)

    @router.get("/groups/{group_id}")
    async def group(group_id: ChatId) -> GroupInfo:
        """One group, with its members."""
        for found in await _groups(here, members=True):
            if found.id == group_id:
                return found
        raise Problem(404, "not_found", "the account is in no such group")

    return router


async def _groups(here: Here, *, members: bool) -> list[GroupInfo]:
    result = await here.client.call("list_groups", {"members": members})
    assert isinstance(result, ListGroupsResult)
    return result.groups
