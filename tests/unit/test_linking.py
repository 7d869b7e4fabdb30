"""What the page answers to a call for a code, taken for what it is."""

from typing import Any, cast

import pytest

from browser_agent.whatsapp.answers import PageMalformed
from browser_agent.whatsapp.linking import PageLinking
from browser_agent.whatsapp.page import PageScriptFailed, WhatsAppPage
from whatsapp_contract.errors import ContractError, Refused

PHONE = "393331111111"


class Page:
    """Answers, or raises, what the test wants."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    async def call(self, function: str, *_args: Any, within_s: float) -> Any:
        assert function == "pairingCode"
        assert within_s > 15
        if isinstance(self.answer, str) and self.answer.startswith("throws "):
            raise PageScriptFailed(function, self.answer.removeprefix("throws "))
        return self.answer


async def asked(answer: Any) -> str:
    return await PageLinking(cast(WhatsAppPage, Page(answer))).pairing_code(PHONE, kept_s=1)


@pytest.mark.parametrize("answer", ["ABCD2345", "ABCD-2345"])
async def test_a_code_is_a_code_with_or_without_its_dash(answer: str) -> None:
    assert await asked(answer) == "ABCD2345"


@pytest.mark.parametrize("answer", [None, 7, {}, "", "ABC", "ABCD2345X", "abcd2345", "ABCD 345", "ABCD234\n"])
async def test_what_is_no_code_is_not_shown_to_anybody(answer: Any) -> None:
    with pytest.raises(PageMalformed) as raised:
        await asked(answer)
    assert "ABC" not in str(raised.value)


@pytest.mark.parametrize(
    ("thrown", "kind", "said"),
    [
        ("IQErrorForbidden", Refused, "(IQErrorForbidden)"),
        ("TypeError", PageScriptFailed, "TypeError"),
        (f"IQError{PHONE}", PageScriptFailed, "failed in the page"),
    ],
)
async def test_what_the_page_throws(thrown: str, kind: type[ContractError], said: str) -> None:
    with pytest.raises(kind) as raised:
        await asked(f"throws {thrown}")
    assert said in str(raised.value)
    assert PHONE not in str(raised.value)
