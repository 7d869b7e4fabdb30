"""What a try came to: pure, over what the page says of it.

The page says how far the message is (its ack), what sending it came to (`result`, wa-js' messageSendResult), and with
which code the server refused it, where it knows. Mostly it does not: a message that the server refuses has ack -1 and
the result ERROR_UNKNOWN, and that may be one message's fault or a warning. Hence a refusal is tried again twice; the
third in a row, of whichever sends, stops all sending. A send that is refused once more after that is given up.
"""

from dataclasses import dataclass
from enum import Enum

from browser_agent.whatsapp.models import SendAnswer
from whatsapp_contract.errors import ContractError, NotFound, PageTimeout, Refused, TooLarge

MOST_FAILURES = 8
REFUSALS_IN_A_ROW = 3

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


def after_refusal(in_a_row: int, own: int) -> Verdict:
    """What to do after so many refusals, of all sends in a row and of this one."""
    if own > REFUSALS_IN_A_ROW:
        return Verdict.FAILED
    return Verdict.STOP_RATE if in_a_row >= REFUSALS_IN_A_ROW else Verdict.AGAIN


def retry_in_s(failures: int) -> float:
    """How long to wait after so many failures in a row."""
    return float(min(2 ** min(max(failures, 0), 10), 300))
