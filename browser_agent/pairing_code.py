"""The command `pairing_code`: the other way in beside the QR code, one for whom there is nobody with a camera."""

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from whatsapp_contract.arguments import PairingCodeArgs
from whatsapp_contract.errors import ContractError, NotReady
from whatsapp_contract.results import PairingCodeResult
from whatsapp_contract.states import SessionState

if TYPE_CHECKING:
    from .agent import BrowserAgent

# Both from the site's own sources: it takes no answer of a phone to a code that is older, and goes on to another code.
VALID_S = 180.0
KEPT_S = 195.0


async def pairing_code(agent: "BrowserAgent", args: PairingCodeArgs) -> PairingCodeResult:
    """Raises NotReady unless a code is waited for, and what PageLinking.pairing_code raises."""
    from .whatsapp.linking import PageLinking

    if agent.state is not SessionState.AWAITING_SCAN:
        raise NotReady(f"no code can be had while {agent.state}")
    started, asked_at = time.monotonic(), datetime.now(UTC)
    page = agent.page()
    agent.flow.on_linking_by_phone(KEPT_S)
    try:
        code = await PageLinking(page).pairing_code(args.phone, KEPT_S)
    except ContractError:
        agent.flow.on_linking_failed()
        raise
    if agent.state is not SessionState.AWAITING_SCAN:
        raise NotReady(f"the code came too late: it is {agent.state} now")
    return PairingCodeResult(
        code=f"{code[:4]}-{code[4:]}",
        expires_at=asked_at + timedelta(seconds=VALID_S),
        took_ms=round((time.monotonic() - started) * 1000, 1),
    )
