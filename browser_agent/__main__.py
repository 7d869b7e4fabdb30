"""python -m browser_agent"""

import asyncio
import os
import signal
import sys

from whatsapp_contract import logs
from whatsapp_contract.settings import Settings, SettingsError

from .agent import BrowserAgent
from .profile_lock import ProfileInUse, profile_lock
from .whatsapp.chromium import sweep


async def hold_session(settings: Settings) -> None:
    agent = BrowserAgent(settings)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, agent.stop)
    await agent.run()


def main() -> int:
    try:
        settings = Settings.from_env(os.environ)
    except SettingsError as error:
        sys.stderr.write("".join(f"{problem}\n" for problem in error.problems))
        return 2
    logs.configure(
        "browser-agent",
        settings.log_level,
        settings.log_format,
        settings.secrets(),
        on_terminal=settings.log_on_terminal,
    )
    log = logs.get_logger(__name__)
    try:
        with profile_lock(settings.session_dir):
            # Now, and not only when a browser is started: that may have to wait for Redis, or the store, for long.
            sweep(settings.session_dir / "profile")
            asyncio.run(hold_session(settings))
    except ProfileInUse as error:
        log.error("another process uses this profile", error=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
