"""Which variables the browser gets: what it needs itself. Its processes run what a site sends them, and whoever may
look at them may read their variables; the service's own hold passwords and keys.
"""

from collections.abc import Mapping

_NAMES = frozenset(
    {"PATH", "HOME", "USER", "LANG", "LANGUAGE", "TZ", "TMPDIR", "DISPLAY", "LD_LIBRARY_PATH", "LD_PRELOAD"}
)
_PREFIXES = ("LC_", "XDG_", "FONTCONFIG_", "FC_", "SSL_CERT_", "NSS_", "DBUS_", "CHROME_", "GTK_")
_ENDS = ("_proxy",)  # Chromium reads http_proxy and the like, in either case


def browser_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """Those of the variables that a browser has a use for."""
    return {
        name: value
        for name, value in environ.items()
        if name in _NAMES or name.startswith(_PREFIXES) or name.lower().endswith(_ENDS)
    }
