"""The status page in a real Chromium: what it asks for, what it complains of, and how a person goes through it."""

import base64
import json
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.whatsapp_web.browser import Page

from .npm_packages import install

PACKAGE = Path(__file__).parents[1] / "page_checks"
AXE = PACKAGE / "node_modules/axe-core/axe.min.js"
WIDE, PHONE = (1280, 900), (390, 844)
WITHIN_S = 90.0

# What a policy keeps from happening is told where a test finds it, whichever document it was.
_AT_START = """
addEventListener('securitypolicyviolation', (event) =>
  tell(JSON.stringify(['csp', `${event.violatedDirective} ${event.blockedURI}`])));
addEventListener('unhandledrejection', (event) => tell(JSON.stringify(['rejection', String(event.reason?.stack)])));
"""


class StatusPage:
    """One tab. `asked` has the address of each request, `answers` what was answered to given ones."""

    at_start = _AT_START

    def __init__(self, page: Page, base: str) -> None:
        self.page = page
        self.base = base
        self.asked: list[str] = []
        self._instead: dict[str, tuple[int, str]] = {}
        page.devtools.on("Network.requestWillBeSent", lambda event: self.asked.append(event["request"]["url"]))
        page.devtools.on("Fetch.requestPaused", self._paused)
        self.show_as(WIDE)

    # -- what it is shown on

    def show_as(self, size: tuple[int, int], scheme: str = "light") -> None:
        call = self.page.devtools.call
        call(
            "Emulation.setDeviceMetricsOverride",
            width=size[0],
            height=size[1],
            deviceScaleFactor=1,
            mobile=size == PHONE,
        )
        media = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        call("Emulation.setEmulatedMedia", features=media)

    def answer_instead(self, path: str, document: object, status: int = 200) -> None:
        """What cannot be brought about here."""
        self._instead[path] = (status, json.dumps(document))
        patterns = [{"urlPattern": f"{self.base}{one}*"} for one in self._instead]
        self.page.devtools.call("Fetch.enable", patterns=patterns)

    def _paused(self, event: dict[str, Any]) -> None:
        status, body = self._instead[urlsplit(event["request"]["url"]).path]
        self.page.devtools.post(
            "Fetch.fulfillRequest",
            requestId=event["requestId"],
            responseCode=status,
            responseHeaders=[{"name": "Content-Type", "value": "application/json"}],
            body=base64.b64encode(body.encode()).decode(),
        )

    def answers(self) -> bool:
        """Whether somebody listens there."""
        address = urlsplit(self.base)
        with socket.socket() as probe:
            return probe.connect_ex((address.hostname, address.port)) == 0

    # -- going through it

    def open(self, token: str) -> None:
        """By the address that the service prints; until all panels are there."""
        self.page.goto(f"{self.base}/?token={token}")
        self.until("document.body?.dataset.loaded === 'yes'")

    def until(self, expression: str, within_s: float = WITHIN_S) -> Any:
        return self.page.until(expression, within_s)

    def until_title(self, title: str) -> None:
        self.until(f"document.querySelector('#state-title')?.textContent === {json.dumps(title)}")

    def until_text(self, selector: str, text: str, within_s: float = WITHIN_S) -> None:
        found = f"document.querySelector({json.dumps(selector)})?.textContent ?? ''"
        try:
            self.until(f"({found}).includes({json.dumps(text)})", within_s)
        except AssertionError:
            raise AssertionError(f"no {text!r} in {selector}: {self.page.evaluate(found)!r}") from None

    def text(self, selector: str) -> str:
        return str(self.page.evaluate(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    def click(self, selector: str) -> None:
        self.until(f"!!document.querySelector({json.dumps(selector)})")
        self.page.evaluate(f"document.querySelector({json.dumps(selector)}).click()")

    def press(self, key: str, *, shift: bool = False) -> None:
        """A key of the keyboard, as `Tab`, `Enter`, `Escape`, `ArrowLeft`."""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "ArrowLeft": 37}
        text = {"Enter": "\r", " ": " "}.get(key)
        for kind in ("keyDown", "keyUp"):
            params: dict[str, Any] = {"text": text} if text and kind == "keyDown" else {}
            self.page.devtools.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code="Space" if key == " " else key,
                windowsVirtualKeyCode=codes[key],
                modifiers=8 if shift else 0,
                **params,
            )

    def focused(self) -> str:
        """The element that has the focus, by what tells it apart."""
        return str(
            self.page.evaluate(
                "(({ id, dataset, tagName, textContent, ariaLabel }) => id || dataset.action || ariaLabel"
                " || `${tagName} ${textContent.trim().slice(0, 40)}`)(document.activeElement)"
            )
        )

    # -- what is judged

    def complaints(self) -> list[str]:
        """What Chromium or a policy complained of; requests that failed are not among them."""
        self.page.evaluate("1")
        return [*self.page.complaints, *(f"{kind}: {what}" for kind, what in self.page.told)]

    def strangers(self) -> list[str]:
        """What was asked of anybody else."""
        return [url for url in self.asked if not url.startswith((self.base, "data:", "about:"))]

    def axe(self) -> list[str]:
        """Findings of axe-core on what is shown now, of any impact."""
        if not self.page.evaluate("typeof axe !== 'undefined'"):
            self.page.evaluate(f"{AXE.read_text()}\nvoid 0", 30.0)
        found = self.page.evaluate(
            "axe.run(document, { resultTypes: ['violations', 'incomplete'] }).then(({ violations }) => violations.map("
            "({ id, impact, nodes }) => `${id} (${impact}): ${nodes.map(({ html, failureSummary }) =>"
            " html.slice(0, 120) + ' ' + failureSummary).join(' | ')}`))",
            60.0,
        )
        return [str(one) for one in found]


def install_axe(npm: str) -> None:
    """Raises NotInstalled."""
    install(PACKAGE, npm)
