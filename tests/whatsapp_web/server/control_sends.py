"""Calls of the control API: what pages sent, and what becomes of it."""

from __future__ import annotations

from tests.whatsapp_web.server.messages import Frame
from tests.whatsapp_web.server.site import Site


class SendCalls:
    """The server's side of sends, and the receipts of those who got them."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def outbox(self) -> list[Frame]:
        return [send.as_json() for send in self._site.account.sends.accepted.values()]

    def hold_sends(self) -> None:
        self._site.account.sends.holding = True

    def lose_sends(self) -> None:
        self._site.account.sends.losing = True

    def refuse_sends(self, code: int | None, times: int | None) -> None:
        self._site.account.sends.refuse(code, times)

    def answer_sends(self) -> None:
        answers = self._site.account.sends.release()
        for session in self._site.network.logged_in():
            for answer in answers:
                session.connection.send(answer)

    def receipt(self, message_id: str, ack: int, by: str | None) -> None:
        key, chat = self._site.own_message(message_id)
        receivers: list[str | None] = [by]
        if chat.endswith("@g.us"):
            me = self._site.account.me
            everybody = [m for m in self._site.account.group(chat).members if m not in (me.phone, me.lid)]
            receivers = [by] if by is not None else [*everybody]
        for receiver in receivers:
            self._site.tell({"type": "receipt", "message": key, "to": chat, "by": receiver, "ack": ack})
