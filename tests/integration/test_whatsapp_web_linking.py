"""The real wa-js on the stand-in: codes to scan, and what follows a scan."""

from __future__ import annotations

import json
import threading
import time
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from tests.whatsapp_web.browser import Page
from tests.whatsapp_web.client import PhoneRefused, WhatsAppWeb
from tests.whatsapp_web.people import ME
from tests.whatsapp_web.wajs import STATE, USABLE, heard, link, load

pytest_plugins = ["tests.whatsapp_web.fixtures"]

DOM_CODE = "document.querySelector('[data-ref]')?.dataset.ref"


def js(value: object) -> str:
    """A value as JavaScript source."""
    return json.dumps(value)


# --- the code


def test_wa_js_is_ready_on_the_code_page_without_a_complaint(page: Page, whatsapp: WhatsAppWeb) -> None:
    load(page, whatsapp)

    assert page.evaluate(f"[{STATE}, WPP.whatsapp.Stream.mode, WPP.conn.isRegistered()]") == [
        "UNPAIRED", "QR", False,
    ]  # fmt: skip
    assert heard(page, "conn.require_auth")
    assert page.complaints == []


def test_the_page_shows_the_complete_code_until_it_is_scanned(page: Page, whatsapp: WhatsAppWeb) -> None:
    load(page, whatsapp)

    code = page.until(DOM_CODE)
    assert code == whatsapp.code_on_show()
    assert len(code.split(",")) == 5
    assert page.evaluate("WPP.conn.getAuthCode().then((code) => code.fullCode)") == code.rpartition(",")[0]
    assert page.until("document.querySelector('[data-ref] canvas').width > 200")

    whatsapp.scan(code)
    page.until(USABLE)
    assert page.evaluate("document.querySelector('[data-ref]')") is None


def test_codes_rotate_until_the_page_goes_idle_and_can_be_refreshed(page: Page, whatsapp: WhatsAppWeb) -> None:
    whatsapp.set_options(qr_first_s=0.4, qr_next_s=0.1, qr_rotations_before_idle=2)
    load(page, whatsapp)

    page.until(f"{STATE} === 'UNPAIRED_IDLE'")
    assert heard(page, "conn.qrcode_idle")
    with pytest.raises(PhoneRefused, match="no page shows"):
        whatsapp.scan(timeout_s=0.1)

    # The page itself looks: the new codes, too, are on show for a moment only.
    old = page.evaluate(DOM_CODE)
    page.evaluate(
        f"setInterval(() => {{ window.shown ||= {DOM_CODE} !== {js(old)} && {STATE} === 'UNPAIRED'; }}, 5); 1"
    )
    page.evaluate("WPP.whatsapp.BackendEventBus.triggerRefreshQR()")
    page.until("window.shown")
    assert len({code for code in heard(page, "conn.auth_code_change") if code}) >= 2


def test_the_test_turns_the_codes_by_hand(page: Page, whatsapp: WhatsAppWeb) -> None:
    load(page, whatsapp)

    first = whatsapp.code_on_show()
    whatsapp.rotate_qr()
    second = page.until(f"{DOM_CODE} !== {js(first)} && {DOM_CODE}")
    with pytest.raises(PhoneRefused, match="expired"):
        whatsapp.scan(first)
    whatsapp.idle_qr()
    with pytest.raises(PhoneRefused, match="expired"):
        whatsapp.scan(second)
    assert page.evaluate(STATE) == "UNPAIRED_IDLE"


def test_the_phone_refuses_any_code_but_the_complete_one_on_show(page: Page, whatsapp: WhatsAppWeb) -> None:
    load(page, whatsapp)
    ref, noise, identity, secret, platform = whatsapp.code_on_show().split(",")

    for wrong, why in (
        ([ref, noise, identity, secret], "4 parts"),
        ([ref, identity, noise, secret, platform], "keys"),
        ([ref, noise, identity, "A" + secret[1:-2] + "A=", platform], "keys"),
        (["2@unknown", noise, identity, secret, platform], "unknown"),
    ):
        with pytest.raises(PhoneRefused, match=why):
            whatsapp.scan(",".join(wrong))
    assert whatsapp.connections()["devices"] == []
    assert page.evaluate(STATE) == "UNPAIRED"

    link(page, whatsapp)


def test_a_code_can_be_scanned_by_whoever_reads_it_before_the_phone_sees_it(page: Page, whatsapp: WhatsAppWeb) -> None:
    page.devtools.call("Network.setBlockedURLs", urls=["*/qr.png*"])  # by which the phone sees it
    load(page, whatsapp)
    code = page.until(DOM_CODE)

    picture = f"{whatsapp.url}qr.png?{urlencode({'code': code})}"
    timer = threading.Timer(0.5, lambda: urlopen(picture, timeout=5).close())
    timer.start()
    assert whatsapp.scan(code) == 1
    timer.join()


def test_a_code_for_a_phone_number_links_as_well(page: Page, whatsapp: WhatsAppWeb) -> None:
    load(page, whatsapp)

    code = page.evaluate("WPP.conn.genLinkDeviceCodeForPhoneNumber('393330000001')")
    with pytest.raises(PhoneRefused):
        whatsapp.enter_link_code("AAAA-AAAA")
    assert whatsapp.enter_link_code(f"{code[:4]}-{code[4:]}") == 1
    page.until(USABLE)


# --- linking


def test_after_the_scan_the_page_syncs_and_then_is_usable(page: Page, whatsapp: WhatsAppWeb) -> None:
    whatsapp.set_options(sync_ms=400)
    load(page, whatsapp)
    page.forget()

    before = time.monotonic()
    link(page, whatsapp)

    assert time.monotonic() - before > 0.4
    assert heard(page, "conn.stream_info_changed") == ["OPENING", "PAIRING", "SYNCING", "NORMAL"]
    assert page.told[-2:] == [["conn.stream_info_changed", "NORMAL"], ["conn.stream_mode_changed", "MAIN"]]
    assert page.evaluate("String(WPP.conn.getMyUserId())") == ME.phone
    assert page.complaints == []


@pytest.mark.parametrize("vocabulary", ["modern", "legacy"])
def test_both_vocabularies(page: Page, whatsapp: WhatsAppWeb, vocabulary: str) -> None:
    whatsapp.set_options(vocabulary=vocabulary)
    legacy = vocabulary == "legacy"
    load(page, whatsapp)

    page.evaluate("window.refreshed = WPP.conn.refreshQR().then(() => 'new code', () => 'threw')")
    assert page.evaluate("window.refreshed") == ("new code" if legacy else "threw")
    link(page, whatsapp)
    assert bool(heard(page, "conn.authenticated")) == legacy

    page.evaluate("void WPP.whatsapp.Socket.logout()")
    page.until("location.search.includes('post_logout=1')")
    assert bool(heard(page, "conn.logout")) == legacy
    assert "logout" in heard(page, "conn.backend_event")
    assert whatsapp.connections()["devices"] == []


def test_modules_can_be_hidden_or_come_late(page: Page, whatsapp: WhatsAppWeb) -> None:
    whatsapp.set_options(hide=["WAWebQueryExistsJob"], drip_ms=600)
    begun = time.monotonic()
    load(page, whatsapp)

    assert time.monotonic() - begun > 1.3
    page.evaluate("WPP.contact.queryExists('393339999999@c.us')")
    assert any("queryWidExists" in complaint for complaint in page.complaints)


def test_a_start_that_never_finishes(page: Page, whatsapp: WhatsAppWeb) -> None:
    whatsapp.set_options(boot="never")
    page.goto(whatsapp.url)

    page.until("window.WPP && WPP.isInjected")
    assert page.evaluate(STATE) == "UNLAUNCHED"
    assert whatsapp.connections()["opened"] == 0
