"""A page whose messages have the files that a test gives them, on real Chromium: how each is fetched is up to it."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

from websockets.server import WebSocketServerProtocol, serve

from browser_agent.whatsapp import cdp
from browser_agent.whatsapp.chromium import open_chromium
from browser_agent.whatsapp.executable import find_executable
from browser_agent.whatsapp.page import WhatsAppPage
from whatsapp_contract.errors import NotReady, PageTimeout

WA_JS = """
window.tries = [];
window.models = {};  // in the store
window.earlier = [];  // not yet
const failed = (stage) => ({ mediaBlob: null, mediaStage: stage });
const model = (key, told, plan) => ({
  id: { toString: () => key },
  size: told.size,
  mediaData: {
    filehash: told.filehash, mediaStage: 'NEED_POKE', mediaBlob: null,
    set(changes) { Object.assign(this, changes); },
  },
  async downloadMedia() {
    tries.push(key);
    const next = plan.length > 1 ? plan.shift() : plan[0];
    if (next.stage) this.mediaData.set(failed(next.stage));
    if (next.hang) await new Promise(() => {});
    if (next.late_ms) await new Promise((resolve) => setTimeout(resolve, next.late_ms));
    if (next.unreadable) {
      const blob = Object.assign(Object.create(Blob.prototype), { slice: () => ({}) });
      Object.defineProperty(blob, 'size', { value: 10 });
      this.mediaData.set({ mediaBlob: { forceToBlob: () => blob }, mediaStage: 'RESOLVED' });
      return;
    }
    if (next.stage) return;
    const bytes = Uint8Array.from(atob(next.data), (c) => c.charCodeAt(0));
    const blob = new Blob([bytes], { type: told.mimetype });
    this.mediaData.set({ mediaBlob: { forceToBlob: () => blob }, mediaStage: 'RESOLVED' });
  },
});
window.give = (key, told, plan, isEarlier) => {
  if (isEarlier) earlier.push([key, model(key, told, plan)]);
  else models[key] = model(key, told, plan);
};
window.loadEarlierMsgs = async () => {
  const found = earlier.splice(0, 1);
  for (const [key, message] of found) models[key] = message;
  return found;
};
window.chat = {};
window.require = () => ({ loadEarlierMsgs });
window.intervals = new Set();
window.setInterval = ((set) => (...given) => {
  const timer = set(...given);
  intervals.add(timer);
  return timer;
})(setInterval);
window.clearInterval = ((clear) => (timer) => {
  intervals.delete(timer);
  clear(timer);
})(clearInterval);
window.WPP = {
  isInjected: true,
  on() {},
  conn: { isAuthenticated: () => true, isRegistered: () => true, getMyUserId: () => null },
  chat: {
    getMessageById: async (key) => {
      if (!models[key]) throw Object.assign(new Error('not found'), { code: 'msg_not_found' });
      return models[key];
    },
    downloadMedia: async () => { throw { code: 'media_not_found' }; },
  },
  whatsapp: {
    Stream: { mode: 'MAIN', info: 'NORMAL' }, Socket: { state: 'CONNECTED' }, functions: {},
    MsgStore: { get: (key) => models[key], getModelsArray: () => [] }, ChatStore: { get: () => chat },
    LruMediaStore: { async del() {} },
  },
};
"""


class MediaPage:
    """A loaded page. `give` a message its file, and a plan: what each try brings, the last one for ever."""

    def __init__(self, page: WhatsAppPage) -> None:
        self.page = page

    async def load(self) -> None:
        """Anew, until it answers."""
        await self.page.navigate()
        async with asyncio.timeout(30):
            while True:
                with suppress(PageTimeout, NotReady):
                    await self.page.probe()
                    return

    async def give(self, key: str, told: dict[str, Any], *plan: bytes | dict[str, Any], earlier: bool = False) -> None:
        steps = [{"data": base64.b64encode(s).decode()} if isinstance(s, bytes) else s for s in plan]
        given = ", ".join(json.dumps(value) for value in (key, told, steps, earlier))
        await self._run(f"give({given})")

    async def tries(self) -> list[str]:
        """The keys of the downloads so far."""
        return list(await self._run("tries"))

    async def kept(self, key: str) -> bool:
        """Whether the page still has a file's bytes."""
        return bool(await self._run(f"models[{json.dumps(key)}].mediaData.mediaBlob !== null"))

    async def is_an_older_build(self) -> None:
        """Earlier messages are the chat's own affair."""
        await self._run("chat.loadEarlierMsgs = loadEarlierMsgs; window.require = () => { throw new Error('none'); }")

    async def has_no_link(self) -> None:
        """Asked for earlier messages it never answers."""
        await self._run("window.require = () => ({ loadEarlierMsgs: () => new Promise(() => {}) })")

    async def timers(self) -> int:
        """How many intervals run."""
        return int(await self._run("intervals.size"))

    async def blobs(self) -> int:
        """How many Blobs are held by whomever."""
        session = self.page.session
        prototype = await session.call("Runtime.evaluate", {"expression": "Blob.prototype"}, within_s=30)
        asked = {"prototypeObjectId": prototype["result"]["objectId"], "objectGroup": "counted"}
        found = await session.call("Runtime.queryObjects", asked, within_s=30)
        counting = {
            "objectId": found["objects"]["objectId"],
            "functionDeclaration": "function () { return this.length; }",
            "returnByValue": True,
        }
        answer = await session.call("Runtime.callFunctionOn", counting, within_s=30)
        await session.call("Runtime.releaseObjectGroup", {"objectGroup": "counted"}, within_s=30)
        return int(answer["result"]["value"])

    async def _run(self, expression: str) -> Any:
        answer = await self.page.session.call(
            "Runtime.evaluate", {"expression": expression, "returnByValue": True}, within_s=30
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")


@asynccontextmanager
async def media_page(folder: Path) -> AsyncIterator[MediaPage]:
    async def document(_path: str, _headers: Any) -> tuple[HTTPStatus, dict[str, str], bytes]:
        return HTTPStatus.OK, {"Content-Type": "text/html"}, b"<title>site</title>"

    async def nothing(link: WebSocketServerProtocol) -> None:
        await link.wait_closed()

    wa_js = folder / "wa.js"
    wa_js.write_text(WA_JS)
    async with (
        serve(nothing, "127.0.0.1", 0, process_request=document) as server,
        open_chromium(find_executable(None), folder / "profile", sandbox=False) as chromium,
    ):
        url = f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/"
        browser = await cdp.connect(chromium.endpoint, within_s=30)
        page = await WhatsAppPage.open(browser, chromium, url, wa_js, None)
        try:
            files = MediaPage(page)
            await files.load()
            yield files
        finally:
            await page.close()
            await cdp.connection_of(browser).dispose()
