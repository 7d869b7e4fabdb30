"""What a try came to: pure, over what the page says of it.

The page says how far the message is (its ack), what sending it came to (`result`, wa-js' messageSendResult), and with
which code the server refused it, where it knows. Mostly it does not: a message that the server refuses has ack -1 and
the result ERROR_UNKNOWN, and that may be one message's fault or a warning. Hence a refusal is tried again twice, and
given up then; the third send that is refused with none going out between stops all sending.
"""

from dataclasses import dataclass
from enum import Enum

from browser_agent.whatsapp.models import SendAnswer
from whatsapp_contract.errors import ContractError, NotFound, PageTimeout, Refused, TooLarge

MOST_FAILURES = 8
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


def of_failure(page_code: str, failures: int) -> Outcome:
    """What it means that the page's function threw, with this code, after so many failures."""
    if (final := _FINAL.get(page_code)) is not None:
        return Outcome(Verdict.FAILED, final.code)
    if failures + 1 < MOST_FAILURES:
        return Outcome(Verdict.AGAIN, "internal")
    last = _FINAL_IN_THE_END.get(page_code)
    return Outcome(Verdict.FAILED, last.code if last else "internal")


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
