"""Messages as the inbox makes them."""

from datetime import datetime

from whatsapp_contract.events import MediaRef, MessageData, Person


def message_with(media: MediaRef, key: str, sent_at: datetime, chat_id: str) -> MessageData:
    """One with a photo, in a group."""
    return MessageData(
        key=key,
        chat_id=chat_id,
        chat_name=None,
        is_group=True,
        author=Person(lid=None, phone=None),
        from_me=False,
        type="image",
        raw_type="image",
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
