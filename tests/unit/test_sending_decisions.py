"""What is decided of messages out: addresses, ids, the pace, what a try came to. All pure."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from browser_agent.sending import outcome, pacing
from browser_agent.sending.addresses import canonical, chat_of
from browser_agent.sending.files import file_type_of
from browser_agent.sending.outcome import Outcome, Verdict
from browser_agent.sending.pacing import Rates
from browser_agent.sending.record import message_id, new_record
from browser_agent.whatsapp.models import SendAnswer
from whatsapp_contract.arguments import SendReactionArgs, SendReplyArgs, SendTextArgs
from whatsapp_contract.errors import BadArguments
from whatsapp_contract.send_queue import key_in, message_of

NOW = 1_800_000_000.0
RATES = Rates(all=20, per_chat=10, strangers=3)


# -- addresses and records -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_as", "expected"),
    [
        ("393331111111", "393331111111@c.us"),
        ("+393331111111", "393331111111@c.us"),
        ("393331111111@c.us", "393331111111@c.us"),
        ("393331111111:12@s.whatsapp.net", "393331111111@c.us"),
        ("100000000000011@lid", "100000000000011@lid"),
        ("100000000000011:3@lid", "100000000000011@lid"),
        ("120363000000000001@g.us", "120363000000000001@g.us"),
        ("393331111111-1500000000@g.us", "393331111111-1500000000@g.us"),
    ],
)
def test_an_address_has_one_form(given_as: str, expected: str) -> None:
    assert canonical(given_as) == expected


@pytest.mark.parametrize("bad", ["status@c.us", "12@c.us", "a@g.us", "..@lid", "1-@g.us", "٣٩٣٣٣١١١١١١١", ""])
def test_what_can_be_no_chat_s_is_refused(bad: str) -> None:
    with pytest.raises(BadArguments):
        canonical(bad)


def test_a_reply_goes_to_the_chat_of_the_message() -> None:
    key = "false_120363000000000001@g.us_AC1D_393331111111@c.us"
    args = SendReplyArgs(idempotency_key="k", message_key=key, text="yes")
    assert new_record("s", args, NOW).chat_id == chat_of(key) == "120363000000000001@g.us"
    reaction = SendReactionArgs(idempotency_key="k", message_key="true_393331111111@c.us_3EB0", reaction="")
    assert new_record("s", reaction, NOW).chat_id == "393331111111@c.us"


def test_the_same_content_is_the_same_however_the_address_is_written() -> None:
    def digest(chat_id: str, text: str = "hello") -> str:
        return new_record("s", SendTextArgs(idempotency_key="k", chat_id=chat_id, text=text), NOW).digest

    assert digest("+393331111111") == digest("393331111111@c.us")
    assert digest("+393331111111") != digest("+393331111112")
    assert digest("+393331111111") != digest("+393331111111", "hello!")


@given(st.tuples(st.text(), st.text()), st.tuples(st.text(), st.text()))
def test_a_message_s_id_has_whatsapp_web_s_form_and_is_its_key_s_alone(
    one: tuple[str, str], other: tuple[str, str]
) -> None:
    assert message_id(*one)[:4] == "3EB0"
    assert len(message_id(*one)) == 22
    if "\0" not in "".join(one + other):
        assert (message_id(*one) == message_id(*other)) == (one == other)


@given(st.text())
def test_a_key_comes_out_of_its_message(key: str) -> None:
    assert key_in(message_of(key)) == key


@pytest.mark.parametrize("alien", ["", "[]", "{}", '{"task":"carry"}', '{"task":"carry","args":[1]}', "\x80\x04."])
def test_what_is_no_message_is_none(alien: str) -> None:
    with pytest.raises(ValueError, match="queue of sends"):
        key_in(alien)


# -- the pace --------------------------------------------------------------------------------------------------------


def slots(chats: list[str], rates: Rates = RATES, *, strangers: frozenset[str] = frozenset()) -> list[float]:
    """When so many messages go out that were all accepted at once, in this order; seconds from now."""
    pace: dict[str, float] = {}
    given_out = []
    for chat in chats:
        slot = pacing.slot(pace, chat, rates, NOW, stranger=chat in strangers)
        pace |= slot.next_at
        given_out.append(slot.at - NOW)
    return given_out


def test_an_album_to_fifty_people_is_a_queue() -> None:
    people = [f"{number}@c.us" for number in range(50)]
    out = slots(people * 2)
    assert out == [3.0 * place for place in range(100)]


def test_a_chat_has_a_pace_of_its_own() -> None:
    assert slots(["a", "a", "a"]) == [0, 6, 12]
    assert slots(["a", "b", "a"]) == [0, 3, 6]


def test_strangers_together_are_written_to_less() -> None:
    assert slots(["a", "b", "c"], strangers=frozenset("ab")) == [0, 20, 23]


@given(
    st.lists(st.sampled_from("abcdef"), max_size=60),
    st.tuples(*[st.floats(0.5, 600)] * 3),
    st.frozensets(st.sampled_from("abcdef")),
)
def test_no_minute_has_more_than_its_rate(
    chats: list[str], per_minute: tuple[float, float, float], strangers: frozenset[str]
) -> None:
    rates = Rates(*per_minute)
    out = slots(chats, rates, strangers=strangers)
    limits = [(rates.all, chats), (rates.strangers, [c for c in chats if c in strangers])]
    limits += [(rates.per_chat, [c for c in chats if c == chat]) for chat in set(chats)]
    for rate, of_those in limits:
        times = sorted(at for at, chat in zip(out, chats, strict=True) if chat in of_those)
        for earlier, later in itertools.pairwise(times):
            assert later - earlier >= 60 / rate - 1e-3


def test_a_slot_that_was_missed_is_lost() -> None:
    assert pacing.wait_for_slot_s(None, NOW) is None
    assert pacing.wait_for_slot_s(NOW + 7, NOW) == 7
    assert pacing.wait_for_slot_s(NOW - 1, NOW) == 0
    assert pacing.wait_for_slot_s(NOW - 60, NOW) is None


def test_slots_are_given_out_for_an_hour() -> None:
    pace = {pacing.ALL: NOW + 3590.0}
    near = pacing.slot(pace, "a", RATES, NOW, stranger=False)
    assert near.at == NOW + 3590
    assert not pacing.is_too_far(near, NOW)
    pace = {pacing.ALL: NOW + 3601.0}
    assert pacing.is_too_far(pacing.slot(pace, "a", RATES, NOW, stranger=False), NOW)


def test_a_clock_that_was_set_back_does_not_stop_everything() -> None:
    assert pacing.slot({pacing.ALL: NOW + 30 * 86_400}, "a", RATES, NOW, stranger=False).at == NOW


def test_however_many_wait_they_do_not_ask_all_the_time() -> None:
    assert pacing.wait_for_session_s(1) == 15
    assert pacing.wait_for_session_s(2000) == 200
    assert pacing.wait_in_chat_s(1, RATES) == 6
    assert pacing.wait_in_chat_s(500, RATES) == 60


# -- what a try came to ----------------------------------------------------------------------------------------------


def answer(ack: int, result: str | None = None, code: str | None = None) -> SendAnswer:
    return SendAnswer(key="true_a@c.us_3EB0", ack=ack, result=result, code=code)


@pytest.mark.parametrize(
    ("told", "verdict"),
    [
        (answer(1, "OK"), Verdict.SENT),
        (answer(3), Verdict.SENT),
        (answer(0, "OK"), Verdict.SENT),
        (answer(0), Verdict.UNDER_WAY),
        (answer(-1, "ERROR_NETWORK"), Verdict.AGAIN),
        (answer(-1, "ERROR_UPLOAD"), Verdict.AGAIN),
        (answer(-1, "ERROR_UNKNOWN"), Verdict.REFUSED),
        (answer(-1, "ERROR_UNKNOWN", "463"), Verdict.STOP_RATE),
        (answer(-1, "ERROR_UNKNOWN", "429"), Verdict.STOP_RATE),
        (answer(-1, "TOS_BLOCK"), Verdict.STOP_BLOCKED),
        (answer(-1, "something new"), Verdict.REFUSED),
    ],
)
def test_what_the_page_s_answer_means(told: SendAnswer, verdict: Verdict) -> None:
    assert outcome.of_answer(told).verdict is verdict


def test_what_no_further_try_would_change_is_given_up_at_once() -> None:
    assert outcome.of_failure("not_on_whatsapp", 0) == Outcome(Verdict.FAILED, "not_found")
    assert outcome.of_failure("only_admins_write", 0) == Outcome(Verdict.FAILED, "refused")
    assert outcome.of_failure("file_too_large", 0) == Outcome(Verdict.FAILED, "too_large")


def test_what_may_pass_is_tried_again_for_a_while() -> None:
    assert outcome.of_failure("TypeError", 0).verdict is Verdict.AGAIN
    assert outcome.of_failure("TypeError", 7) == Outcome(Verdict.FAILED, "internal")
    assert outcome.of_failure("group_not_found", 7) == Outcome(Verdict.FAILED, "not_found")
    assert outcome.retry_in_s(0) < outcome.retry_in_s(3) < outcome.retry_in_s(50) == 300


def test_the_third_refusal_in_a_row_stops_all_sending() -> None:
    assert outcome.after_refusal(in_a_row=1, own=1) is Verdict.AGAIN
    assert outcome.after_refusal(in_a_row=2, own=1) is Verdict.AGAIN
    assert outcome.after_refusal(in_a_row=3, own=1) is Verdict.STOP_RATE
    assert outcome.after_refusal(in_a_row=3, own=3) is Verdict.STOP_RATE


def test_a_send_that_is_refused_again_after_that_makes_way() -> None:
    assert outcome.after_refusal(in_a_row=1, own=4) is Verdict.FAILED


@pytest.mark.parametrize(
    ("kind", "mimetype", "expected"),
    [
        ("auto", "image/jpeg", ("image", False)),
        ("auto", "image/tiff", ("document", False)),
        ("auto", "video/mp4", ("video", False)),
        ("auto", "audio/ogg", ("audio", False)),
        ("auto", "application/pdf", ("document", False)),
        ("document", "image/jpeg", ("document", False)),
        ("voice", "audio/ogg", ("audio", True)),
    ],
)
def test_as_what_a_file_is_sent(kind: str, mimetype: str, expected: tuple[str, bool]) -> None:
    assert file_type_of(kind, mimetype) == expected
