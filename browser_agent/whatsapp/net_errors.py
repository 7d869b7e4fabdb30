"""Chromium's names for why nothing could be loaded: which of them a browser gives that is cut off from the network."""

import re

from whatsapp_contract.errors import PageTimeout

_NAME = re.compile(r"net::ERR_(\w+)")
# Not among them: answers that are none, of the site's or of a proxy's (HTTP_RESPONSE_CODE_FAILURE, EMPTY_RESPONSE,
# TUNNEL_CONNECTION_FAILED), and certificates that it does not trust. A new browser would fare no better.
_CUT_OFF = (
    "ADDRESS_UNREACHABLE",
    "CONNECTION_",
    "DNS_",
    "INSUFFICIENT_RESOURCES",
    "INTERNET_DISCONNECTED",
    "NAME_",
    "NETWORK_",
    "PROXY_CONNECTION_FAILED",
    "TIMED_OUT",
)


class SiteUnreachable(PageTimeout):
    """Nothing could be loaded: Chromium shows an error page in the site's place."""


def may_be_cut_off(error: str) -> bool:
    """Whether the browser itself may be what does not reach the site. An error that names nothing is one of time."""
    name = _NAME.search(error)
    return name is None or name[1].startswith(_CUT_OFF)
