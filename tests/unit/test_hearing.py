"""Since when a message stands untold: as the page says, and as store and telling show."""

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
