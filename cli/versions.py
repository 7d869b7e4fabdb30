"""What this service is made of: its own version, the browser's, wa-js'. `python -m cli.versions` prints it as JSON."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from whatsapp_contract.errors import BrowserGone
from whatsapp_contract.settings import Settings, SettingsError

UNKNOWN = "unknown"
BROWSER_WITHIN_S = 10.0


def versions(environ: Mapping[str, str]) -> dict[str, str]:
    """Names with versions; `unknown` where one is not there, or does not say. What else is wrong with the variables
    does not matter here."""
    try:
        settings = Settings.from_env(environ)
    except SettingsError as error:
        settings = Settings.from_env({name: value for name, value in environ.items() if name not in error.variables})
    return {
        "whatsapp-container": version("whatsapp-container"),
        "revision": environ.get("REVISION") or UNKNOWN,
        "browser": _browser(settings),
        "wa-js": _wa_js(settings),
        "python": platform.python_version(),
        "machine": platform.machine(),
    }


def _browser(settings: Settings) -> str:
    from browser_agent.whatsapp.executable import find_executable

    try:
        executable = find_executable(settings.browser_executable)
        said = subprocess.run(
            [str(executable), "--version"],
            capture_output=True,
            text=True,
            timeout=BROWSER_WITHIN_S,
            check=True,
            stdin=subprocess.DEVNULL,
        )
    except (BrowserGone, OSError, subprocess.SubprocessError):
        return UNKNOWN
    return " ".join(said.stdout.split()) or UNKNOWN


def _wa_js(settings: Settings) -> str:
    package = settings.wa_js_path.parent.parent / "package.json"
    try:
        found: Any = json.loads(package.read_text())
        return str(found["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return UNKNOWN


if __name__ == "__main__":
    json.dump(versions(os.environ), sys.stdout, indent=1)
    sys.stdout.write("\n")
