"""Whether the agent itself reaches the site: where it does and the browser does not, it is the browser's fault.

It goes the way that the browser goes: through the proxy that the environment names, if it names one. It has less time
than the page has for its own request (SITE_WITHIN_MS, bridge/connection.js): on a slow line the page gets there first.
"""

import asyncio
import contextlib
import threading
from urllib.parse import urlsplit

WITHIN_S = 4.0

# Of a proxy, or of what stands before the site: the site itself was not reached.
_PROXY_REFUSES = 407
_FAILS_FROM = 500


async def reaches(url: str) -> bool | None:
    """Whether the site answers, be it with a refusal, but not with a failure (5xx); None where the browser goes a way
    that cannot be gone from here."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bool | None] = loop.create_future()

    def take(found: bool | None) -> None:
        if not answer.done():
            answer.set_result(found)

    def ask() -> None:
        found = _ask(url)
        with contextlib.suppress(RuntimeError):  # the agent has stopped meanwhile
            loop.call_soon_threadsafe(take, found)

    # None of asyncio's threads: an agent that stops waits for those, and a name may take half a minute to be unknown.
    threading.Thread(target=ask, name="site-reach", daemon=True).start()
    try:
        async with asyncio.timeout(WITHIN_S):
            return await answer
    except TimeoutError:
        return False


def _ask(url: str) -> bool | None:
    # Imported where it is used: most agents never need it.
    import http.client
    import urllib.error
    import urllib.request

    class Unfollowed(urllib.request.HTTPRedirectHandler):
        """A redirect is an answer, too."""

        def redirect_request(self, *_: object) -> None:
            return None

    proxies = urllib.request.getproxies()
    if not _can_be_gone(proxies, urlsplit(url).scheme):
        return None
    request = urllib.request.Request(url, method="HEAD")  # noqa: S310  # its scheme is checked with the settings
    try:
        urllib.request.build_opener(Unfollowed).open(request, timeout=WITHIN_S).close()
    except urllib.error.HTTPError as answer:
        return answer.code < _FAILS_FROM and answer.code != _PROXY_REFUSES
    except (OSError, ValueError, http.client.HTTPException):
        return False
    return True


def _can_be_gone(proxies: dict[str, str], scheme: str) -> bool:
    """Chromium takes `all_proxy` and `auto_proxy`, and SOCKS, too; and no name and password for a proxy."""
    proxy = proxies.get(scheme, "")
    if {"all", "auto"} & proxies.keys() or "@" in proxy:
        return False
    return "://" not in proxy or proxy.startswith("http://")
