"""States that only a person can end, and in which a page may all the same be stuck: a pure decision what the agent
itself tries then. No restart is among it; the ladder leaves these states alone.
"""

from typing import Literal

from whatsapp_contract.states import SessionState

CODE_OVERDUE_S = 5.0  # a code has expired, and no other came: the site shows six, and must be asked for more
RELOAD_OVERDUE_S = 90.0
LOGGED_OUT_WITHOUT_CODE_S = 60.0
BLOCKED_S = 1800.0  # proxies and versions change; accounts are unblocked
BETWEEN_RELOADS_S = 120.0

Remedy = Literal["refresh_qr", "reload"]


def remedy(
    state: SessionState, in_state_s: float, code_expired_for_s: float | None, since_reload_s: float | None
) -> Remedy | None:
    """`code_expired_for_s` is negative while the code on show is valid, None where there is none; `since_reload_s` is
    None where the page was not loaded anew for this yet."""
    if since_reload_s is not None and since_reload_s < BETWEEN_RELOADS_S:
        return None
    if state is SessionState.AWAITING_SCAN and code_expired_for_s is not None:
        if code_expired_for_s > RELOAD_OVERDUE_S:
            return "reload"
        return "refresh_qr" if code_expired_for_s > CODE_OVERDUE_S else None
    if state is SessionState.LOGGED_OUT and in_state_s > LOGGED_OUT_WITHOUT_CODE_S:
        return "reload"
    return "reload" if state is SessionState.BLOCKED and in_state_s > BLOCKED_S else None
