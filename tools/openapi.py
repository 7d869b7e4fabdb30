"""Writes docs/openapi.json: the HTTP API's description, as /openapi.json of a running service gives it."""

import json
from pathlib import Path

from web.app import create_app
from whatsapp_contract.redis_connection import connect_async
from whatsapp_contract.settings import Settings

DOCUMENT = Path(__file__).parents[1] / "docs/openapi.json"


def text() -> str:
    """The file's whole text."""
    settings = Settings.from_env({"WHATSAPP_SESSION_ID": "any", "INSTANCE_ID": "any"})
    app = create_app(settings, connect_async(settings.redis_url.get_secret_value()), "any-token")
    return json.dumps(app.openapi(), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":
    DOCUMENT.write_text(text())
