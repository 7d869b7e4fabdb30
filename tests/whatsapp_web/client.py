"""The door to the stand-in for tests, the demo and benchmarks: starts the server, is the phone and the network."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

from tests.whatsapp_web.composing import compose_attributes, compose_message
from tests.whatsapp_web.control_client import ControlClient, NoPageAnswered, PhoneRefused, WhatsAppWebError
from tests.whatsapp_web.devtools import crash_pages
from tests.whatsapp_web.people import FAMILY
from tests.whatsapp_web.server_process import ServerProcess

Json = dict[str, Any]

__all__ = ["NoPageAnswered", "PhoneRefused", "WhatsAppWeb", "WhatsAppWebError"]


class WhatsAppWeb:
    """WhatsApp Web's server side, the phone that owns the account, and the network in between.

    A context manager: the server is a process of its own on a free port of the loopback, and ends with the
    `with` block, or with the thread that started it, even when that is killed. Options are those of
    `options.Options`, by name. Every call is synchronous.
    """

    def __init__(self, port: int = 0, **options: Any) -> None:
        self._process = ServerProcess(port, options)
        self._control = ControlClient(port)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and wait until it listens."""
        self._process.start()
        self._control = ControlClient(self._process.port)

    def stop(self) -> int:
        """End the server; returns its exit status, which is 0 for a clean end."""
        return self._process.stop()

    @property
    def url(self) -> str:
        """The page's address."""
        return f"http://127.0.0.1:{self._process.port}/"

    # --- the phone

    def code_on_show(self, timeout_s: float = 10.0) -> str:
        """The complete five-part code that the page shows, awaited."""
        code: str = self._control.call("code_on_show", timeout_s=timeout_s)
        return code

    def scan(self, payload: str | None = None, timeout_s: float = 10.0) -> int:
        """Scan the QR code; returns the number of the linked device once the page has kept its keys.

        With a payload, that is what the phone sees: anything but the complete code that is on show now raises
        PhoneRefused. Without, the phone looks at what is on show.
        """
        device: int = self._control.call("scan", payload=payload, timeout_s=timeout_s)
        return device

    def enter_link_code(self, code: str, timeout_s: float = 10.0) -> int:
        """Link with the code a page got for a phone number; returns the device's number."""
        device: int = self._control.call("enter_link_code", code=code, timeout_s=timeout_s)
        return device

    def log_out_from_phone(self) -> int:
        """Unlink every device; returns how many there were. An unreachable one learns it when it comes back."""
        unlinked: int = self._control.call("log_out_from_phone")
        return unlinked

    # --- the QR code on the page

    def rotate_qr(self) -> None:
        """Show the next code now, as if the time of this one were over."""
        self._control.call("rotate_qr")

    def idle_qr(self) -> None:
        """Stop showing codes, as after the last of them."""
        self._control.call("idle_qr")

    # --- people and messages

    def add_person(self, phone: str, lid: str, name: str, *, has_chat: bool = False) -> None:
        """Add a contact; an unknown author of a message becomes one by itself."""
        self._control.call("add_person", phone=phone, lid=lid, name=name, has_chat=has_chat)

    def add_group(self, group_id: str, subject: str, members: Sequence[str]) -> None:
        """Add a group, or change it; members are phone addresses."""
        self._control.call("add_group", id=group_id, subject=subject, members=list(members))

    def deliver_text(
        self,
        text: str,
        chat: str = FAMILY.id,
        author: str | None = None,
        *,
        from_me: bool = False,
        written_at: int | None = None,
        quote: str | None = None,
        forwarded: bool = False,
        ephemeral_s: int | None = None,
        type: str = "chat",
        attributes: Json | None = None,
    ) -> str:
        """Have somebody write; returns the message's key.

        The author is Anna unless given (or the other side of a one-to-one chat); `quote` is the key of the message
        this one answers; `attributes` are further ones of the page's message model.
        """
        message = compose_message(
            text=text, chat=chat, author=author, from_me=from_me, written_at=written_at, type=type,
            attributes=compose_attributes(attributes, quote, forwarded, ephemeral_s),
        )  # fmt: skip
        return self._deliver([message])[0]

    def deliver_photo(
        self,
        data: bytes,
        mimetype: str = "image/jpeg",
        caption: str | None = None,
        chat: str = FAMILY.id,
        author: str | None = None,
        *,
        filename: str = "",
        width: int | None = None,
        height: int | None = None,
        from_me: bool = False,
        written_at: int | None = None,
        type: str = "image",
        attributes: Json | None = None,
    ) -> str:
        """Have somebody send a photo (or, with `type`, another kind of file); returns the message's key."""
        message = compose_message(
            caption=caption, chat=chat, author=author, from_me=from_me, written_at=written_at, type=type,
            media={**self.upload(data, mimetype, filename), "width": width, "height": height},
            attributes=attributes,
        )  # fmt: skip
        return self._deliver([message])[0]

    def deliver_many(
        self,
        count: int,
        text: str = "Message {number}",
        chats: Sequence[str] = (FAMILY.id,),
        author: str | None = None,
        media: Json | None = None,
    ) -> list[str]:
        """A burst, all sent at once and to each chat in turn; returns the keys in order.

        `media` (from `upload`) makes every one of them a photo.
        """
        kind = {"type": "image", "media": media} if media else {}
        return self._deliver(
            [
                compose_message(text=text.format(number=n), chat=chats[n % len(chats)], author=author, **kind)
                for n in range(count)
            ]
        )

    def receipt(self, message_id: str, ack: int = 3) -> None:
        """Let a message from the page be received (2), read (3) or played (4); `message_id` as in the outbox."""
        self._control.call("receipt", message_id=message_id, ack=ack)

    def _deliver(self, messages: list[Json]) -> list[str]:
        keys: list[str] = self._control.call("deliver", messages=messages)
        return keys

    # --- media

    def upload(self, data: bytes, mimetype: str, filename: str = "") -> Json:
        """Put bytes on the media host; the answer describes them as a message does."""
        query = urlencode({"mimetype": mimetype, "filename": filename})
        media: Json = self._control.post(f"/control/media?{query}", data)
        return media

    def media_bytes(self, path: str) -> bytes:
        """The bytes under a media path, such as the page uploaded."""
        return self._control.request("GET", f"/control/media-bytes?{urlencode({'path': path})}")

    def fail_media(self, path: str, status: int | None = 404, times: int | None = None) -> None:
        """Answer downloads of a path with a status, the next `times` or all; None heals it."""
        self._control.call("fail_media", path=path, status=status, times=times)

    # --- the network

    def drop(self, refuse_s: float | None = None) -> None:
        """Cut every connection; refuse new ones for so long, or until `restore()`. Media hosts are down, too."""
        self._control.call("drop", refuse_s=refuse_s)

    def half_open(self, *, also_new: bool = False) -> None:
        """Let every connection go silent in both directions with TCP open; only a new one works, if any."""
        self._control.call("half_open", also_new=also_new)

    def restore(self) -> None:
        """End `drop` and `half_open`; a silent connection is reset, so that the page comes back by itself."""
        self._control.call("restore")

    def conflict(self) -> None:
        """Another client took over this device's link."""
        self._control.call("stop", state="CONFLICT")

    def block(self, state: str = "TOS_BLOCK") -> None:
        """The server shuts the page out: TOS_BLOCK, SMB_TOS_BLOCK, PROXYBLOCK or DEPRECATED_VERSION."""
        self._control.call("stop", state=state)

    # --- the page

    def busy_loop(self, ms: float) -> None:
        """Let the page hang for a while; returns when it is about to."""
        self._control.call("busy_loop", ms=ms)

    def crash_page(self, devtools_port: int) -> int:
        """Crash the renderer of every page of this site in a browser; returns how many there were."""
        return crash_pages(devtools_port, self.url)

    # --- what is known

    def set_options(self, **changes: Any) -> None:
        """Change options by name; those of the page take effect when it is loaded next."""
        self._control.call("set_options", **changes)

    def state(self) -> Json:
        """The server at a glance: network, code on show, open pages, options."""
        state: Json = self._control.call("state")
        return state

    def connections(self) -> Json:
        """WebSockets `opened` ever, `open` now, `silent` of those, `refused`, `logged_in`; numbers of `devices`."""
        connections: Json = self._control.call("connections")
        return connections

    def model(self) -> list[Json]:
        """Every message accepted for delivery: `key`, `chat`, `author`, `type`, `text`, `media`, `accepted_at`,
        `sent_at` (each time it was sent to a page), `acked`, `acked_at`; times are epoch seconds."""
        model: list[Json] = self._control.call("model")
        return model

    def outbox(self) -> list[Json]:
        """Every message the page sent, once each: its attributes as text and numbers, and `at`."""
        outbox: list[Json] = self._control.call("outbox")
        return outbox

    def reset(self) -> None:
        """Forget everything: devices, messages, media, changed options. Connections are cut."""
        self._control.call("reset")
