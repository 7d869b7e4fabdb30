"""Media on the stand-in: hosts that forgot it, phones that have it, wrong bytes, slow ones."""

from __future__ import annotations

import base64
import time

import pytest

from tests.whatsapp_web.browser import Page
from tests.whatsapp_web.client import WhatsAppWeb
from tests.whatsapp_web.control_client import ControlClient, WhatsAppWebError
from tests.whatsapp_web.wajs import USABLE, arrived, load

pytest_plugins = ["tests.whatsapp_web.fixtures"]

PHOTO = bytes(range(256)) * 8
DOWNLOAD = "WPP.chat.downloadMedia('%s').then((blob) => WPP.util.blobToBase64(blob), (error) => error.code)"
STAGE = "WPP.whatsapp.MsgStore.get('%s').mediaData.mediaStage"
WHOLE = "data:image/jpeg;base64," + base64.b64encode(PHOTO).decode()
MISSING = "media_not_found"


def delivered(page: Page, whatsapp: WhatsAppWeb) -> tuple[str, str]:
    """A photo in the page's store: its key and its path on the host."""
    key = whatsapp.deliver_photo(PHOTO, caption="Us")
    arrived(page, key)
    return key, whatsapp.model()[-1]["media"]["directPath"]


@pytest.mark.parametrize("given", [{}, {"media": {}}, {"media": {"mimetype": "image/jpeg"}}])
def test_a_photo_without_its_file_is_refused(whatsapp: WhatsAppWeb, given: dict[str, object]) -> None:
    port = int(whatsapp.url.rstrip("/").rpartition(":")[2])
    with pytest.raises(WhatsAppWebError, match="control/media"):
        ControlClient(port).call("deliver", messages=[{"type": "image", **given}])
    assert whatsapp.model() == []


def test_media_is_downloaded_unless_the_host_fails(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    key, path = delivered(linked_page, whatsapp)
    whatsapp.fail_media(path, 503, times=1)

    assert linked_page.evaluate(DOWNLOAD % key) == MISSING
    assert linked_page.evaluate(STAGE % key) == "ERROR_UNKNOWN"
    assert linked_page.evaluate(DOWNLOAD % key) == WHOLE
    assert whatsapp.state()["media_retries"] == []


@pytest.mark.parametrize("status", [404, 410])
def test_gone_media_is_uploaded_again_by_the_phone(linked_page: Page, whatsapp: WhatsAppWeb, status: int) -> None:
    key, path = delivered(linked_page, whatsapp)
    whatsapp.gone(path, status)

    assert linked_page.evaluate(DOWNLOAD % key) == WHOLE
    (retry,) = whatsapp.state()["media_retries"]
    assert (retry["key"], retry["path"]) == (key, path)
    assert linked_page.evaluate(f"WPP.whatsapp.MsgStore.get('{key}').directPath") == retry["new_path"]
    linked_page.evaluate("require('StandInKeeping').flush()")
    load(linked_page, whatsapp)
    linked_page.until(USABLE)
    assert linked_page.evaluate(DOWNLOAD % key) == WHOLE
    assert len(whatsapp.state()["media_retries"]) == 1


def test_media_that_the_phone_lost_too_is_missing(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    key, path = delivered(linked_page, whatsapp)
    whatsapp.gone(path)
    whatsapp.phone_has(path, False)

    assert linked_page.evaluate(DOWNLOAD % key) == MISSING
    assert linked_page.evaluate(STAGE % key) == "ERROR_MISSING"
    assert whatsapp.state()["media_retries"] == [{"key": key, "path": path, "new_path": None}]
    whatsapp.phone_has(path)
    assert linked_page.evaluate(DOWNLOAD % key) == WHOLE


def test_the_phone_is_not_asked_without_a_reason_nor_a_link(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    key, path = delivered(linked_page, whatsapp)
    whatsapp.gone(path)
    linked_page.evaluate(f"WPP.whatsapp.MsgStore.get('{key}').downloadMedia({{}})")
    assert linked_page.evaluate(STAGE % key) == "ERROR_MISSING"

    whatsapp.half_open()
    linked_page.evaluate(f"window.asking = {DOWNLOAD % key}; 1")
    linked_page.until(f"{STAGE % key} === 'REUPLOADING'")
    whatsapp.restore()
    assert linked_page.evaluate("window.asking") == WHOLE


@pytest.mark.parametrize("checked", [True, False])
def test_wrong_bytes_are_noticed_unless_nobody_looks(linked_page: Page, whatsapp: WhatsAppWeb, checked: bool) -> None:
    whatsapp.set_options(check_media_hash=checked)
    load(linked_page, whatsapp)
    linked_page.until(USABLE)
    key, path = delivered(linked_page, whatsapp)
    whatsapp.corrupt_media(path)

    wrong = "data:image/jpeg;base64," + base64.b64encode(bytes(byte ^ 0xFF for byte in PHOTO)).decode()
    assert linked_page.evaluate(DOWNLOAD % key) == (MISSING if checked else wrong)
    assert linked_page.evaluate(STAGE % key) == ("ERROR_UNKNOWN" if checked else "RESOLVED")
    whatsapp.corrupt_media(path, False)
    assert linked_page.evaluate(DOWNLOAD % key) == (WHOLE if checked else wrong)


def test_slow_media_comes_slowly(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    key, path = delivered(linked_page, whatsapp)
    whatsapp.slow_media(path, bytes_per_s=len(PHOTO) * 2)

    began = time.monotonic()
    linked_page.evaluate(f"window.stages = new Set(); setInterval(() => stages.add({STAGE % key}), 5); 1")
    linked_page.evaluate(f"window.asking = {DOWNLOAD % key}; 1")
    assert linked_page.evaluate("window.asking") == WHOLE
    assert time.monotonic() - began > 0.4
    assert linked_page.evaluate("stages.has('FETCHING')")
