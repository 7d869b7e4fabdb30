"""Which browser there is. Small, so that the entry point can ask without loading what runs it."""

import shutil
from pathlib import Path

from whatsapp_contract.errors import BrowserGone

# In the order in which they are looked for; where there is a wrapper script, the binary that it runs is taken.
_CANDIDATES = ("google-chrome-stable", "google-chrome", "chromium", "chromium-browser")
_BEHIND_WRAPPER = {
    "google-chrome-stable": "/opt/google/chrome/chrome",
    "google-chrome": "/opt/google/chrome/chrome",
    "chromium": "/usr/lib/chromium/chromium",
    "chromium-browser": "/usr/lib/chromium/chromium",
}


def find_executable(given: Path | None) -> Path:
    """The browser's own binary: the given one, else Google Chrome, else Chromium.

    Raises BrowserGone saying what to install.
    """
    if given is not None:
        found = shutil.which(given)
        if found is None:
            raise BrowserGone(f"PUPPETEER_EXECUTABLE_PATH: {given} is not an executable file")
        return _binary(Path(found))
    for name in _CANDIDATES:
        if found := shutil.which(name):
            return _binary(Path(found))
    raise BrowserGone(
        "no Google Chrome or Chromium found: run 'apt-get install chromium' or set PUPPETEER_EXECUTABLE_PATH"
    )


def _binary(found: Path) -> Path:
    """A wrapper script puts arguments of its own after ours; the binary behind it does not."""
    try:
        with found.open("rb") as file:
            is_script = file.read(2) == b"#!"
    except OSError:  # it may be run, but not read; or an upgrade has just removed it, which the start will tell
        return found
    behind = Path(_BEHIND_WRAPPER.get(found.name, ""))
    return behind if is_script and behind.is_file() else found
