"""python -m web"""

import os
import sys

import uvicorn

from whatsapp_contract import logs
from whatsapp_contract.redis_connection import connect_async
from whatsapp_contract.settings import Settings, SettingsError

from .app import create_app
from .connections import PatientProtocol, raise_file_limit
from .tokens import kept_token

MOST_CONNECTIONS = 64  # to Redis; whoever waits for a command's reply holds one
MOST_OWN_CONNECTIONS = 16


def main() -> int:
    try:
        settings = Settings.from_env(os.environ)
    except SettingsError as error:
        sys.stderr.write("".join(f"{problem}\n" for problem in error.problems))
        return 2
    token, is_new = kept_token(settings.api_token, settings.data_dir)
    logs.configure(
        "web",
        settings.log_level,
        settings.log_format,
        [*settings.secrets(), token],
        on_terminal=settings.log_on_terminal,
    )
    _say_where(settings.port, token if is_new else None)
    url = settings.redis_url.get_secret_value()
    redis = connect_async(url, most_connections=MOST_CONNECTIONS)
    own_redis = connect_async(url, most_connections=MOST_OWN_CONNECTIONS)
    raise_file_limit()
    app = create_app(settings, redis, token, own_redis)
    uvicorn.run(
        app,
        host="0.0.0.0",  # noqa: S104  # a container's port is published by choice, and a token closes it
        port=settings.port,
        http=PatientProtocol,
        ws="none",  # pyppeteer pins a websockets that uvicorn refuses
        lifespan="off",
        access_log=False,
        log_config=None,
        log_level="warning",
        timeout_graceful_shutdown=1,
        # Whoever else says for whom it asks may say anything.
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies or None,
    )
    return 0


def _say_where(port: int, new_token: str | None) -> None:
    """A token that was made is told once, here, and kept in a file; a token that was given is not told at all."""
    query = f"?token={new_token}" if new_token else ""
    sys.stdout.write(f"\nStatus page and QR code: http://localhost:{port}/{query}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
