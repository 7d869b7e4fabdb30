"""What is decided of messages out: addresses, ids, the pace, what a try came to. All pure."""

import heapq
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from browser_agent.sending import outcome, pacing
from browser_agent.sending.files import file_type_of, is_page_by_mistake
from browser_agent.sending.outcome import Outcome, Verdict
from browser_agent.sending.pacing import Rates
from browser_agent.whatsapp.models import SendAnswer
from whatsapp_contract.addresses import canonical, chat_of
from whatsapp_contract.arguments import (
    IDEMPOTENCY_KEY_PATTERN,
    SendReactionArgs,
    SendReplyArgs,
    SendTextArgs,
    SuppressArgs,
)
from whatsapp_contract.commands import Command, parse_args
from whatsapp_contract.errors import BadArguments
from whatsapp_contract.send_queue import around_key, key_in, message_of
from whatsapp_contract.send_record import message_id, new_record

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
        ("39 333 111 1111", "393331111111@c.us"),
        (" +39-333-111-1111\n", "393331111111@c.us"),
        ("(39) 333.111.1111", "393331111111@c.us"),
        ("+39\u00a0[333]\u2011111\u20131111", "393331111111@c.us"),
        ("\u202a+39 333 111 1111\u202c", "393331111111@c.us"),
        ("00393331111111", "393331111111@c.us"),
        ("00 39 333 111 1111", "393331111111@c.us"),
        ("00393331111111@c.us", "393331111111@c.us"),
        ("100000000000011@lid", "100000000000011@lid"),
        ("100000000000011:3@lid", "100000000000011@lid"),
        ("120363000000000001@g.us", "120363000000000001@g.us"),
        ("393331111111-1500000000@g.us", "393331111111-1500000000@g.us"),
    ],
)
def test_an_address_has_one_form(given_as: str, expected: str) -> None:
    assert canonical(given_as) == expected


@pytest.mark.parametrize(
    "bad",
    [
        "status@c.us",
        "12@c.us",
        "a@g.us",
        "..@lid",
        "1-@g.us",
        "٣٩٣٣٣١١١١١١١",
        "",
        "0333 111 1111",
        "39+3331111111",
        "+44 (0)20 7946 0000",
        "000393331111111",
        "393331111111@x",
    ],
)
def test_what_can_be_no_chat_s_is_refused(bad: str) -> None:
    with pytest.raises(BadArguments):
        canonical(bad)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({"chat_id": "call 0333-1234567"}, "chat_id: an address is a phone number"),
        ({"mentions": ["+393331111111", "0333-1234567"]}, "mentions.1: an address is a phone number"),
        ({"idempotency_key": "0333-1234567 "}, "idempotency_key: a key of the backend's own is"),
        ({"idempotency_key": "0333-1234567\n"}, "idempotency_key: a key of the backend's own is"),
    ],
)
def test_what_is_wrong_with_an_argument_is_a_sentence_without_its_value(args: dict[str, Any], said: str) -> None:
    given = {"idempotency_key": "k", "chat_id": "+393331111111", "text": "x", **args}
    with pytest.raises(BadArguments) as refusal:
        parse_args(Command(name="send_text", args=given))
    assert str(refusal.value).startswith(said)
    assert "1234567" not in str(refusal.value)
    assert "pattern" not in str(refusal.value)


@pytest.mark.parametrize("bad", ["3EB0", "true_status@broadcast_3EB0", "true_0333-1234567@c.us_3EB0", "false__"])
def test_a_message_s_key_that_is_none_is_said_to_be(bad: str) -> None:
    with pytest.raises(BadArguments, match="message_key: a message's key is what its event has") as refusal:
        parse_args(Command(name="send_reaction", args={"idempotency_key": "k", "message_key": bad, "reaction": ""}))
    assert "1234567" not in str(refusal.value)


def test_whoever_is_left_alone_is_in_every_way_of_writing_it() -> None:
    _spec, args = parse_args(Command(name="suppress", args={"add": ["0039 333 111 1111", "+39-333-111-1111"]}))
    assert isinstance(args, SuppressArgs)
    assert args.add == ["393331111111@c.us"] * 2


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


@given(*[st.tuples(st.text(), st.text(), st.text())] * 2)
def test_a_message_s_id_has_whatsapp_web_s_form_and_is_its_key_s_and_content_s_alone(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    assert message_id(*one)[:4] == "3EB0"
    assert len(message_id(*one)) == 22
    if "\0" not in "".join(one + other):
        assert (message_id(*one) == message_id(*other)) == (one == other)


@given(st.text())
def test_a_key_comes_out_of_its_message(key: str) -> None:
    assert key_in(message_of(key)) == key


@given(st.from_regex(IDEMPOTENCY_KEY_PATTERN, fullmatch=True))
def test_a_script_can_make_a_key_s_message(key: str) -> None:
    assert key.strip().join(around_key()) == message_of(key.strip())


@pytest.mark.parametrize("alien", ["", "[]", "{}", '{"task":"carry"}', '{"task":"carry","args":[1]}', "\x80\x04."])
def test_what_is_no_message_is_none(alien: str) -> None:
    with pytest.raises(ValueError, match="queue of sends"):
        key_in(alien)


# -- the pace --------------------------------------------------------------------------------------------------------


def slots(chats: list[str], rates: Rates = RATES, *, strangers: frozenset[str] = frozenset()) -> list[float]:
    """When so many messages go out one after the other, each as soon as it may; seconds from now."""
    pace: dict[str, float] = {}
    now, given_out = NOW, []
    for chat in chats:
        now = pacing.slot(pace, chat, rates, now, stranger=chat in strangers).at
        slot = pacing.slot(pace, chat, rates, now, stranger=chat in strangers)
        assert slot.at == now
        pace |= slot.next_at
        given_out.append(now - NOW)
    return given_out


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


class Backend:
    """Sends at the heads of their chats, each carried when it was told to come again; by a clock of the test's own."""

    def __init__(self, rates: Rates = RATES) -> None:
        self.rates = rates
        self.line = pacing.Line(rates)
        self.pace: dict[str, float] = {}
        self.due: list[tuple[float, int, str, bool]] = []
        self.out: dict[str, float] = {}
        self.asked: dict[str, int] = {}
        self._numbers = itertools.count()

    def give(self, chat: str, at: float, *, stranger: bool = False) -> None:
        heapq.heappush(self.due, (NOW + at, next(self._numbers), chat, stranger))

    def run(self) -> None:
        """Until all went out."""
        while self.due:
            now, _number, chat, stranger = heapq.heappop(self.due)
            self.asked[chat] = self.asked.get(chat, 0) + 1
            slot = pacing.slot(self.pace, chat, self.rates, now, stranger=stranger)
            turn = self.line.turn(chat, slot.at, now, stranger=stranger)
            if turn - now > pacing.SOON_S:
                self.give(chat, turn - NOW + 0.02, stranger=stranger)  # nobody comes at the very moment
                continue
            self.pace |= slot.next_at
            self.line.leave(chat)
            self.out[chat] = slot.at - NOW


def test_an_album_to_fifty_people_is_a_queue_at_the_rates_that_are_the_default() -> None:
    backend = Backend()
    people = [f"{number}@c.us" for number in range(50)]
    for person in people:
        backend.give(person, 0)
    backend.run()
    moments = [backend.out[person] for person in people]
    assert moments == sorted(moments)
    assert min(later - earlier for earlier, later in itertools.pairwise(moments)) >= 3.0 - 1e-6
    assert moments[-1] < 49 * 3.0 + 10
    assert max(backend.asked.values()) <= 4


def test_two_hundred_strangers_hold_up_nobody_else() -> None:
    backend = Backend()
    strangers = [f"s{number}" for number in range(200)]
    for stranger in strangers:
        backend.give(stranger, 0, stranger=True)
    for number in range(100):  # somebody whom we know every 5 seconds
        backend.give(f"g{number}", 1 + 5.0 * number)
    backend.run()
    assert max(backend.out[f"g{number}"] - 1 - 5.0 * number for number in range(100)) < 7
    of_strangers = sorted(backend.out[stranger] for stranger in strangers)
    assert min(later - earlier for earlier, later in itertools.pairwise(of_strangers)) >= 20 - 1e-6
    assert of_strangers[-1] < 200 * 22
    assert sum(backend.asked[stranger] for stranger in strangers) <= 200 * 20  # each is told ten minutes at most


def test_a_lone_message_waits_for_nobody() -> None:
    backend = Backend()
    for number in range(20):
        backend.give(f"{number}", 7.3 * number)
    backend.run()
    assert all(backend.out[f"{number}"] - 7.3 * number < 1e-6 for number in range(20))
    assert set(backend.asked.values()) == {1}


def test_who_never_comes_back_is_not_waited_for() -> None:
    line = pacing.Line(RATES)
    for number in range(5):
        line.turn(f"gone{number}", NOW, NOW, stranger=False)
    assert line.turn("a", NOW, NOW, stranger=False) == pytest.approx(NOW + 15, abs=3)
    assert line.turn("gone0", NOW + 100, NOW + 100, stranger=False) == NOW + 100
    assert line.turn("b", NOW + 200, NOW + 200, stranger=False) == NOW + 200


def test_a_clock_that_was_set_back_does_not_stop_everything() -> None:
    for far in (10.0, 3600.0, 30 * 86_400.0):
        assert pacing.slot({pacing.ALL: NOW + far}, "a", RATES, NOW, stranger=False).at == NOW


def test_a_clock_that_was_set_makes_nothing_old() -> None:
    ages = pacing.Ages()
    ages.saw(NOW, 1000.0)
    ages.saw(NOW + 60, 1060.0)
    assert ages.age_s(NOW, NOW + 60) == 60
    stepped = NOW + 86_400 + 120
    ages.saw(stepped, 1120.0)
    assert ages.age_s(NOW, stepped) == pytest.approx(120)
    assert ages.age_s(stepped, stepped + 5) == 5  # accepted after it
    ages.saw(NOW + 180, 1180.0)  # and back
    assert ages.age_s(NOW + 170, NOW + 180) == 10


def test_a_day_of_silence_is_a_day() -> None:
    ages = pacing.Ages()
    ages.saw(NOW, 1000.0)
    ages.saw(NOW + 86_400, 1000.0 + 86_400)
    assert ages.age_s(NOW, NOW + 86_400) == 86_400


def test_however_many_wait_they_do_not_ask_all_the_time() -> None:
    assert pacing.wait_for_session_s(1) == 15
    assert pacing.wait_for_session_s(2000) == 200
    assert pacing.wait_in_chat_s(1, RATES) == 6
    assert pacing.wait_in_chat_s(500, RATES) == 3000
    assert pacing.wait_in_chat_s(5000, RATES) == 3600


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


def test_a_group_that_the_page_does_not_know_is_told_at_the_second_look() -> None:
    assert outcome.of_failure("group_not_found", 0, 1) == Outcome(Verdict.AGAIN, "not_found")
    assert outcome.of_failure("group_not_found", 1, 2) == Outcome(Verdict.FAILED, "not_found")


@pytest.mark.parametrize("code", ["TypeError", "x@1", "393331111111", "no such +39 333", ""])
def test_why_is_a_sentence_without_what_may_be_a_number(code: str) -> None:
    said = outcome.page_says(code)
    assert said.startswith("the page failed")
    assert not any(c.isdigit() for c in said)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, True),
        ({"mimetype": "text/html"}, False),
        ({"kind": "document"}, False),
        ({"source": "page.html"}, False),
        ({"source": "s3://media/page.html"}, False),
    ],
)
def test_a_page_that_comes_instead_of_a_file_is_none(changed: dict[str, Any], expected: bool) -> None:
    args = {"source": "https://photos.example/17.jpg", "kind": "auto", "mimetype": None, **changed}
    assert is_page_by_mistake(args, "text/html") is expected
    assert not is_page_by_mistake(args, "image/jpeg")


def test_the_third_send_that_is_refused_in_a_row_stops_all_sending() -> None:
    assert outcome.after_refusal(sends=1, own=1) is Verdict.AGAIN
    assert outcome.after_refusal(sends=2, own=1) is Verdict.AGAIN
    assert outcome.after_refusal(sends=3, own=1) is Verdict.STOP_RATE
    assert outcome.after_refusal(sends=3, own=3) is Verdict.STOP_RATE


def test_a_send_that_is_refused_by_itself_makes_way() -> None:
    assert outcome.after_refusal(sends=1, own=2) is Verdict.AGAIN
    assert outcome.after_refusal(sends=1, own=3) is Verdict.FAILED
    assert outcome.after_refusal(sends=2, own=3) is Verdict.FAILED


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
