"""The fixtures of the stand-in's own tests: a pytest plugin, named in `pytest_plugins` of their modules."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.whatsapp_web.browser import Browser, Page
from tests.whatsapp_web.client import WhatsAppWeb
from tests.whatsapp_web.wajs import bundle, link, load


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all; each test has isolated pages."""
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def whatsapp_process() -> Iterator[WhatsAppWeb]:
    with WhatsAppWeb(reconnect_first_ms=50) as whatsapp:
        yield whatsapp


@pytest.fixture
def whatsapp(whatsapp_process: WhatsAppWeb) -> WhatsAppWeb:
    """The stand-in, as new."""
    whatsapp_process.reset()
    return whatsapp_process


@pytest.fixture
def page(chromium: Browser, whatsapp: WhatsAppWeb) -> Iterator[Page]:
    """A blank page with a storage of its own that will have wa-js in every document."""
    yield chromium.new_page(bundle(), isolated=True)
    chromium.clear()


@pytest.fixture
def bare_page(chromium: Browser, whatsapp: WhatsAppWeb) -> Iterator[Page]:
    """A blank page without wa-js."""
    yield chromium.new_page(isolated=True)
    chromium.clear()


@pytest.fixture
def linked_page(page: Page, whatsapp: WhatsAppWeb) -> Page:
    """A page with wa-js, linked to the account."""
    load(page, whatsapp)
    link(page, whatsapp)
    return page
