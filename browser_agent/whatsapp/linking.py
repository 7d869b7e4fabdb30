"""What the page is asked about linking this device: calls of bridge/linking.js."""

import re
from typing import Any, NoReturn

from whatsapp_contract.errors import NotReady, PageTimeout, Refused

from .answers import PageMalformed
from .page import PageScriptFailed, WhatsAppPage

CODE_WITHIN_S = 15.0
MARGIN_S = 3.0

_CODE = re.compile(r"[0-9A-Z]{8}")
_IQ_ERROR = re.compile(r"IQError[A-Za-z]{1,40}")
_NO = {
    "IQErrorRateOverlimit": "too many codes were asked for; try again hours later, or scan the QR code",
    "IQErrorFeatureNotAvailable": "WhatsApp does not offer this here; scan the QR code",
    "IQErrorNonSupportedPrimary": "WhatsApp on the phone is too old for this; update it, or scan the QR code",
    "absent": "this build of WhatsApp Web cannot link by a phone number; scan the QR code",
}


class PageLinking:
    """Every call raises what WhatsAppPage.call raises."""

    def __init__(self, page: WhatsAppPage) -> None:
        self._page = page

    async def refresh_qr(self) -> None:
        """Ask for a new QR code where the page stopped rotating it."""
        await self._page.call("refreshQr")

    async def pairing_code(self, phone: str, kept_s: float, within_s: float = CODE_WITHIN_S) -> str:
        """The code for a phone number (digits), eight letters and digits. From the call on no QR code can be scanned,
        until the page goes back to them: after `kept_s`, when the site says that the code is void, or when this fails.

        Raises Refused where WhatsApp gives none, PageTimeout where it does not answer, NotReady with an account.
        """
        try:
            answer = await self._page.call(
                "pairingCode", phone, round(within_s * 1000), round(kept_s * 1000), within_s=within_s + MARGIN_S
            )
        except PageScriptFailed as error:
            _refused(error)
        return _checked(answer)


def _refused(error: PageScriptFailed) -> NoReturn:
    code = error.page_code
    if code == "late":
        raise PageTimeout("WhatsApp's server gave no code in time") from None
    if code == "cannot_get_code_for_already_authenticated":
        raise NotReady("this device is linked already") from None
    if code in _NO:
        raise Refused(_NO[code]) from None
    if _IQ_ERROR.fullmatch(code):
        raise Refused(f"WhatsApp gives no code for this number ({code})") from None
    raise error


def _checked(answer: Any) -> str:
    code = answer.replace("-", "") if isinstance(answer, str) else ""
    if not _CODE.fullmatch(code):
        raise PageMalformed("the page answered with something that is no code")
    return code
