"""Messages as the inbox makes them."""

from datetime import datetime

from whatsapp_contract.events import MediaRef, MessageData, Person


def message_with(media: MediaRef | None, key: str, sent_at: datetime, chat_id: str) -> MessageData:
    """One in a group, with a photo where there is one."""
    return MessageData(
        key=key,
        chat_id=chat_id,
        chat_name=None,
        is_group=True,
        author=Person(lid=None, phone=None),
        from_me=False,
        type="image" if media else "text",
        raw_type="image" if media else "chat",
        text=None,
        sent_at=sent_at,
        quoted_key=None,
        target_key=None,
        album_key=None,
        mentions=[],
        forwarded=False,
        ephemeral=False,
        view_once=False,
        source="live",
        media=media,
        location=None,
        contacts=[],
        poll=None,
        members=None,
    )
