"""What a try came to: pure, over what the page says of it.

The page says how far the message is (its ack), what sending it came to (`result`, wa-js' messageSendResult), and with
which code the server refused it, where it knows. Mostly it does not: a message that the server refuses has ack -1 and
the result ERROR_UNKNOWN, and that may be one message's fault or a warning. Hence a refusal is tried again twice, and
given up then; the third send that is refused with none going out between stops all sending.
"""

import re
from dataclasses import dataclass
from enum import Enum

from browser_agent.whatsapp.models import SendAnswer
from whatsapp_contract.errors import ContractError, NotFound, PageTimeout, Refused, TooLarge

MOST_FAILURES = 8
LOOKS_FOR_A_GROUP = 2  # a page that is just loaded may not have it yet
GROUP_LOOK_AGAIN_S = 20.0
SENDS_REFUSED_IN_A_ROW = 3
REFUSALS_AT_MOST = 3  # of one send: then it is that message which is refused

# With these the server says that this account writes too much, or may not write to strangers for a while.
RATE_CODES = frozenset({"429", "463", "rate-overlimit"})
BLOCK_CODES = frozenset({"TOS_BLOCK", "SMB_TOS_BLOCK"})

# What wa-js, or our bridge, throws, and no further try would change.
_FINAL: dict[str, type[ContractError]] = {
    "not_on_whatsapp": NotFound,
    "invalid_wid": NotFound,
    "msg_not_found": NotFound,
    "invalid_quoted_msg": NotFound,
    "file_too_large": TooLarge,
    "not_a_member": Refused,
    "only_admins_write": Refused,
    "can_not_send_message_to_this_groupType": Refused,
    "quoted_msg_can_not_reply": Refused,
}
# What may be so because the page does not know it yet.
_FINAL_IN_THE_END: dict[str, type[ContractError]] = {"group_not_found": NotFound, "chat_not_found": NotFound}
# What breaks off with the link. The page may bring it through by itself, and it has as long as the send.
_PASSING = frozenset({"ERROR_NETWORK", "ERROR_UPLOAD", "ERROR_CANCELLED", "ERROR_EXPIRED"})


# Why, in a sentence, by what the page threw, and by the codes of the contract. No number, text or address is in them.
_PAGE_SAYS = {
    "not_on_whatsapp": "this number has no WhatsApp",
    "invalid_wid": "WhatsApp takes this address for none",
    "msg_not_found": "the message that is replied or reacted to is not in this chat, as far as this device knows",
    "invalid_quoted_msg": "the message that is replied to cannot be quoted",
    "file_too_large": "the file is larger than WhatsApp allows",
    "not_a_member": "this account is no member of the group",
    "only_admins_write": "only admins write in this group, and this account is none",
    "can_not_send_message_to_this_groupType": "nobody writes to a group of this type",
    "quoted_msg_can_not_reply": "WhatsApp allows no reply to this message",
    "group_not_found": "this account has no such group",
    "chat_not_found": "this account has no such chat",
    "search_timed_out": "the page did not end its search for what may have gone out before",
}
CODE_SAYS = {
    "expired": "its turn did not come within a day",
    "page_timeout": "the page did not answer in time",
    "page_crashed": "the page crashed",
    "browser_gone": "there is no browser at present",
    "not_ready": "the session is not ready",
    "refused": "WhatsApp refused it, without saying why",
    "internal": "it failed without a known cause",
}
WORKERS_DIED = "workers died over it"
SUPPRESSED = "its address is on the list of those that are never written to"
LINK_BROKE_OFF = "the link broke off while it was on its way"


def page_says(page_code: str) -> str:
    """What the page threw, as a sentence."""
    known = _PAGE_SAYS.get(page_code)
    if known is None:
        known = f"the page failed with {page_code}" if _CODE.fullmatch(page_code) else "the page failed"
    return known


_CODE = re.compile(r"[A-Za-z][A-Za-z_]{0,60}")


class Verdict(Enum):
    SENT = "sent"
    UNDER_WAY = "under_way"  # the page has it and goes on by itself
    AGAIN = "again"
    REFUSED = "refused"
    FAILED = "failed"
    STOP_RATE = "rate_limited"
    STOP_BLOCKED = "blocked"


@dataclass(frozen=True)
class Outcome:
    """`error` is a code of the contract's, where it did not go out."""

    verdict: Verdict
    error: str | None = None


def of_answer(answer: SendAnswer) -> Outcome:
    """What the page's answer means."""
    if answer.ack >= 1 or answer.result == "OK":
        return Outcome(Verdict.SENT)
    told = {answer.result, answer.code}
    if told & RATE_CODES:
        return Outcome(Verdict.STOP_RATE)
    if told & BLOCK_CODES:
        return Outcome(Verdict.STOP_BLOCKED)
    if answer.ack == 0 and answer.result is None:
        return Outcome(Verdict.UNDER_WAY)
    if answer.result in _PASSING:
        return Outcome(Verdict.AGAIN, PageTimeout.code)
    return Outcome(Verdict.REFUSED)


def of_failure(page_code: str, failures: int, unknown_chat: int = 0) -> Outcome:
    """What it means that the page's function threw, with this code, after so many failures. `unknown_chat`: how often
    the page has said by now that it knows no such group, of what it was never given."""
    if (final := _FINAL.get(page_code)) is not None:
        return Outcome(Verdict.FAILED, final.code)
    last = _FINAL_IN_THE_END.get(page_code)
    is_last = failures + 1 >= MOST_FAILURES or unknown_chat >= LOOKS_FOR_A_GROUP
    return Outcome(Verdict.FAILED if is_last else Verdict.AGAIN, last.code if last else "internal")


def is_known_not_to_go(page_code: str, *, given_up: bool) -> bool:
    """Whether what the page threw says that the message cannot have gone out; of what is given up less is asked."""
    return page_code in _FINAL or (given_up and page_code in _FINAL_IN_THE_END)


def after_refusal(sends: int, own: int) -> Verdict:
    """What to do after so many different sends were refused with none going out between, and this one so often."""
    if sends >= SENDS_REFUSED_IN_A_ROW:
        return Verdict.STOP_RATE
    return Verdict.FAILED if own >= REFUSALS_AT_MOST else Verdict.AGAIN


def retry_in_s(failures: int) -> float:
    """How long to wait after so many failures in a row."""
    return float(min(2 ** min(max(failures, 0), 10), 300))
