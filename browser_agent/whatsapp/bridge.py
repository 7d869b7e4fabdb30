"""The script that every document gets: wa-js, and our bridge to it (bridge/*.js)."""

import json
from pathlib import Path

FOLDER = Path(__file__).parent / "bridge"
FILES = (
    "reading.js",
    "connection.js",
    "linking.js",
    "hearing.js",
    "messages.js",
    "history.js",
    "chats.js",
    "media.js",
    "sends.js",
    "probe.js",
)


def document_script(wa_js: Path) -> str:
    """wa-js first, with its beacon to Google Analytics off, then the bridge. Raises OSError.

    Only in the tab's own document, and only where it is a site's: not in frames, not in Chromium's error page.
    """
    bridge = "\n".join((FOLDER / name).read_text() for name in FILES)
    return (
        "if (window === window.top && location.protocol.startsWith('http')) {\n"
        f"window.WPPConfig = {json.dumps({'disableGoogleAnalytics': True})};\n"
        f"{wa_js.read_text()}\n;(() => {{ 'use strict';\n{bridge}\n}})();\n}}"
    )
