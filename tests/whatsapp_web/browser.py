"""A real Chromium for the stand-in's own tests: pages that evaluate, wait, and count their WebSocket frames."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.request import urlopen

from tests.whatsapp_web import processes
from tests.whatsapp_web.devtools import DevTools, DevToolsError, DevToolsTimeout

LOOK_EVERY_S = 0.02
CANDIDATES = ("/usr/lib/chromium/chromium", "chromium", "google-chrome-stable", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--password-store=basic",
    "--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup",  # pages of its own, which take more than ours
    "--remote-debugging-port=0",
)


class PageError(Exception):
    """What was evaluated in the page threw."""


def chromium() -> str:
    """The browser to run: PUPPETEER_EXECUTABLE_PATH, or the usual places."""
    asked = os.environ.get("PUPPETEER_EXECUTABLE_PATH")
    for candidate in (asked, *CANDIDATES):
        if candidate and (found := shutil.which(candidate)):
            return found
    raise FileNotFoundError("no Chromium found: install the chromium package or set PUPPETEER_EXECUTABLE_PATH")


class Browser:
    """Chromium on a profile; a context manager."""

    def __init__(self, profile: Path) -> None:
        self._pages: list[Page] = []
        port_file = profile / "DevToolsActivePort"
        port_file.unlink(missing_ok=True)
        self._process = processes.start(
            [chromium(), *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            self.devtools_port = int(self._read_port(port_file).splitlines()[0])
            with urlopen(f"http://127.0.0.1:{self.devtools_port}/json/version", timeout=20) as answer:
                self._devtools = DevTools(json.load(answer)["webSocketDebuggerUrl"])
        except BaseException:
            processes.stop(self._process)
            raise

    def _read_port(self, port_file: Path, timeout_s: float = 40.0) -> str:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and self._process.poll() is None:
            if port_file.exists() and (text := port_file.read_text()):
                return text
            time.sleep(LOOK_EVERY_S)
        raise DevToolsError(f"Chromium opened no DevTools port; its status is {self._process.poll()}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Of Chromium's main process."""
        return self._process.pid

    def close(self) -> None:
        """Close as a person does: everything reaches the profile on disk."""
        self.clear()
        if self._process.poll() is None:
            self._devtools.post("Browser.close")
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
        self._devtools.close()
        processes.stop(self._process)

    def new_page(self, at_start: str = "", *, isolated: bool = False) -> Page:
        """A blank page that runs a script before every document; `isolated` gives it a storage of its own."""
        context = self._devtools.call("Target.createBrowserContext") if isolated else {}
        target = self._devtools.call("Target.createTarget", url="about:blank", **context)["targetId"]
        page = Page(DevTools(f"ws://127.0.0.1:{self.devtools_port}/devtools/page/{target}"))
        page.devtools.call("Page.addScriptToEvaluateOnNewDocument", source=at_start)
        self._pages.append(page)
        return page

    def clear(self) -> None:
        """Close every page, and with isolated ones their storage."""
        while self._pages:
            self._pages.pop().close()
        for context in self._devtools.call("Target.getBrowserContexts")["browserContextIds"]:
            self._devtools.call("Target.disposeBrowserContext", browserContextId=context)


@dataclass
class Frames:
    """WebSocket traffic of a page as Chromium reports it: (time, payload)."""

    received: list[tuple[float, str]] = field(default_factory=list)
    sent: list[tuple[float, str]] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)


class Page:
    """One tab.

    A script in it says something that outlives the document with `tell(JSON.stringify([...]))`: it lands in `told`.
    """

    def __init__(self, devtools: DevTools) -> None:
        self.devtools = devtools
        self.frames = Frames()
        self.complaints: list[str] = []
        self.told: list[list[Any]] = []
        self.crashed = False
        self._listen()
        for domain in ("Page", "Runtime", "Network", "Inspector"):
            devtools.call(f"{domain}.enable")
        devtools.call("Runtime.addBinding", name="tell")

    def _listen(self) -> None:
        on = self.devtools.on

        def console(event: dict[str, Any]) -> None:
            if event["type"] == "error":
                self.complaints.append(" ".join(str(arg.get("value", arg)) for arg in event["args"]))

        def exception(event: dict[str, Any]) -> None:
            details = event["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description", details["text"]))

        def crashed(_: dict[str, Any]) -> None:
            self.crashed = True

        def payload(event: dict[str, Any]) -> tuple[float, str]:
            return time.time(), event["response"]["payloadData"]

        on("Runtime.bindingCalled", lambda event: self.told.append(json.loads(event["payload"])))
        on("Runtime.consoleAPICalled", console)
        on("Runtime.exceptionThrown", exception)
        on("Inspector.targetCrashed", crashed)
        on("Network.webSocketCreated", lambda event: self.frames.opened.append(event["url"]))
        on("Network.webSocketFrameReceived", lambda event: self.frames.received.append(payload(event)))
        on("Network.webSocketFrameSent", lambda event: self.frames.sent.append(payload(event)))

    def close(self) -> None:
        self.devtools.post("Page.close")
        self.devtools.close()

    def forget(self) -> None:
        """Start anew with everything that was recorded."""
        self.frames = Frames()
        self.told.clear()

    def goto(self, url: str) -> None:
        self.devtools.call("Page.navigate", url=url)

    def reload(self) -> None:
        self.devtools.call("Page.reload")

    def evaluate(self, expression: str, timeout_s: float = 30.0) -> Any:
        """The value of an expression in the page; a promise is awaited."""
        answer = self.devtools.call(
            "Runtime.evaluate", timeout_s, expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise PageError(details.get("exception", {}).get("description", details["text"]))
        return answer["result"].get("value")

    def until(self, expression: str, timeout_s: float = 30.0) -> Any:
        """The value of an expression once it is true; a page that is just loading is asked again."""
        deadline = time.monotonic() + timeout_s
        last: object = None
        while time.monotonic() < deadline:
            try:
                if last := self.evaluate(expression, max(0.1, deadline - time.monotonic())):
                    return last
            except DevToolsTimeout:
                break
            except (PageError, DevToolsError) as error:
                last = error
            time.sleep(LOOK_EVERY_S)
        raise AssertionError(f"{expression} was still {last!r} after {timeout_s} s")

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.devtools.call("Page.captureScreenshot")["data"]))
