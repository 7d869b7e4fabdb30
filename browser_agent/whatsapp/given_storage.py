"""A localStorage that the tab's first document of its origin is to start with."""

import json
from collections.abc import Callable

from .cdp import CdpSession


class GivenStorage:
    """One per tab. `on_given` is called when a document has it."""

    def __init__(self, session: CdpSession, binding: str) -> None:
        self.on_given: Callable[[], None] = lambda: None
        self._session = session
        self._binding = binding
        self._script: str | None = None  # the one that gives it, until a document has it

    async def give(self, local_storage: str, *, within_s: float) -> None:
        """To the next document; `local_storage` is the JSON of `{"origin": str, "items": {str: str}}`. Raises what
        CdpSession.call raises."""
        source = _giving_script(local_storage, self._binding)
        added = await self._session.call(
            "Page.addScriptToEvaluateOnNewDocument", {"source": source}, within_s=within_s
        )
        self._script = added["identifier"]

    def on_told(self) -> None:
        """The page tells that a document has it."""
        if self._script is None:
            return
        self._session.send("Page.removeScriptToEvaluateOnNewDocument", {"identifier": self._script})
        self._script = None
        self.on_given()


def _giving_script(local_storage: str, binding: str) -> str:
    """Makes this the localStorage of a document of its origin, and tells. It is removed after the first one.

    A second document that started before the removal gets the same once more.
    """
    return (
        "(() => { if (window !== window.top) return;\n"
        f"const dump = JSON.parse({json.dumps(local_storage)});\n"
        "if (location.origin !== dump.origin) return;\n"
        "localStorage.clear();\n"
        "for (const [key, value] of Object.entries(dump.items)) localStorage.setItem(key, value);\n"
        f"{binding}({json.dumps(json.dumps({'kind': 'local_storage_given'}))}); }})()"
    )
