"""Since when a message stands untold: as the page says, and as store and telling show."""

import pytest

from browser_agent.whatsapp.hearing import Hearing
from browser_agent.whatsapp.models import StoreSeen


def seen(stored_ago_s: float | None, unheard_for_s: float | None = None, missed: int = 0) -> StoreSeen:
    def ms(seconds: float | None) -> float | None:
        return None if seconds is None else seconds * 1000

    return StoreSeen(stored_ago_ms=ms(stored_ago_s), unheard_for_ms=ms(unheard_for_s), missed=missed)


def test_what_the_page_has_not_told_stands_since_it_came() -> None:
    hearing = Hearing()
    hearing.on_told(90.0)
    hearing.take(seen(3, unheard_for_s=3), 100.0)
    assert hearing.unheard_since == 97.0
    hearing.on_told(101.0)
    hearing.take(seen(0), 102.0)
    assert hearing.unheard_since is None


def test_what_the_page_believes_to_have_told_and_did_not_arrive_stands_until_a_later_one_does() -> None:
    hearing = Hearing()
    hearing.on_told(90.0)
    hearing.take(seen(10), 100.0)
    assert hearing.unheard_since is None
    hearing.take(seen(2), 105.0)
    hearing.take(seen(1), 110.0)  # and another
    assert hearing.unheard_since == 103.0
    hearing.on_told(111.0)
    assert hearing.unheard_since is None


def test_a_page_that_tells_is_not_blamed_for_a_look_that_took_its_time() -> None:
    hearing = Hearing()
    hearing.on_told(90.9)  # it arrived a little before the store's clock says that it was told
    hearing.take(seen(9), 100.0)
    assert hearing.unheard_since is None
    hearing.take(seen(None), 100.0)
    assert hearing.unheard_since is None


def test_from_the_first_message_on_none_may_be_lost() -> None:
    hearing = Hearing()
    hearing.take(seen(None), 100.0)
    assert hearing.unheard_since is None
    hearing.take(seen(1), 105.0)
    assert hearing.unheard_since == 104.0


MALFORMED = ["message.message.key"]


def unread(hearing: Hearing, how: str, at: float) -> None:
    missed = hearing.on_trouble("message", at) if how == "trouble" else hearing.on_malformed(MALFORMED, at)
    assert missed  # the audit's, at once
    hearing.take(seen(0.5), at + 0.5)


@pytest.mark.parametrize("how", ["trouble", "malformed"])
@pytest.mark.parametrize("told_at", [None, 90.0])
def test_one_that_cannot_be_read_is_no_deafness_of_the_page_s(how: str, told_at: float | None) -> None:
    hearing = Hearing()
    if told_at is not None:
        hearing.on_told(told_at)
    unread(hearing, how, 100.0)
    assert hearing.unheard_since is None
    hearing.take(seen(30.5), 130.5)
    assert hearing.unheard_since is None
    hearing.on_told(140.0)
    unread(hearing, how, 150.0)  # not in a row
    assert hearing.unheard_since is None
    hearing.take(seen(1), 200.0)  # and one that was lost
    assert hearing.unheard_since == 199.0


@pytest.mark.parametrize(("first", "second"), [("trouble", "malformed"), ("malformed", "trouble")])
@pytest.mark.parametrize("apart_s", [0.2, 60.0])
def test_two_in_a_row_that_cannot_be_read_are_unheard_until_one_is_told(
    first: str, second: str, apart_s: float
) -> None:
    hearing = Hearing()
    hearing.on_told(90.0)
    unread(hearing, first, 100.0)
    unread(hearing, second, 100.0 + apart_s)
    assert hearing.unheard_since == 100.0 + apart_s
    hearing.on_told(170.0)
    assert hearing.unheard_since is None


def test_what_is_done_to_messages_may_be_missed_and_is_no_message() -> None:
    hearing = Hearing()
    hearing.on_told(90.0)
    assert hearing.on_trouble("reaction", 100.0)
    assert hearing.on_trouble("edit", 100.0)
    assert not hearing.on_trouble("listing", 100.0)
    assert not hearing.on_malformed(["stream.mode"], 100.0)
    unread(hearing, "trouble", 110.0)
    assert hearing.unheard_since is None


def test_a_new_document_hears_anew() -> None:
    hearing = Hearing()
    hearing.on_told(90.0)
    hearing.take(seen(1, unheard_for_s=4, missed=2), 100.0)
    hearing.on_document()
    hearing.take(seen(None), 101.0)
    assert hearing.unheard_since is None


def test_more_that_was_missed_is_said_once() -> None:
    hearing = Hearing()
    assert hearing.take(seen(1, missed=1), 100.0)
    assert not hearing.take(seen(1, missed=1), 101.0)
    hearing.on_document()
    assert hearing.take(seen(1, missed=1), 102.0)
