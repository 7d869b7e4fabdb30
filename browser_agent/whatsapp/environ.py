"""Which variables the browser gets: what it needs itself. Its processes run what a site sends them, and whoever may
look at them may read their variables; the service's own hold passwords and keys.
"""

import re
from collections.abc import Mapping

_NAMES = frozenset(
    {"PATH", "HOME", "USER", "LANG", "LANGUAGE", "TZ", "TMPDIR", "DISPLAY", "LD_LIBRARY_PATH", "LD_PRELOAD"}
)
_PREFIXES = ("LC_", "XDG_", "FONTCONFIG_", "FC_", "SSL_CERT_", "NSS_", "DBUS_", "CHROME_", "GTK_")
_ENDS = ("_proxy",)  # Chromium reads http_proxy and the like, in either case


# Chromium leaves them out of a proxy's address.
_NAME_AND_PASSWORD = re.compile(r"(?<=//)[^/]*@|^[^/]*@")


def browser_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """Those of the variables that a browser has a use for."""
    of_a_proxy = {name: value for name, value in environ.items() if name.lower().endswith(_ENDS)}
    return {
        **{name: value for name, value in environ.items() if name in _NAMES or name.startswith(_PREFIXES)},
        **{name: _NAME_AND_PASSWORD.sub("", value) for name, value in of_a_proxy.items()},
    }
