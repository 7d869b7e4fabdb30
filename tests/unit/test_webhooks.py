"""Webhooks, what is pure of them: variables, signatures, what follows from an answer, dealing out by chat."""

import base64
import hashlib
import hmac
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhooks.hook import hooks
from webhooks.lanes import Job, Lanes
from webhooks.outcome import (
    DEAD_IN_A_ROW,
    LONELY_TRIES,
    MOST_WAIT_S,
    PATIENCE_S,
    TRIES,
    History,
    Step,
    Verdict,
    answered,
    next_step,
    wait_s,
)
from webhooks.signing import headers
from whatsapp_contract.logs import without_secrets
from whatsapp_contract.settings import SECRET_VARIABLES, Settings, SettingsError

SECRET = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

# -- variables


def problem(**variables: str) -> str:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env(variables)
    return str(caught.value)


def test_nothing_is_set() -> None:
    settings = Settings.from_env({})
    assert (settings.webhook_urls, settings.webhook_secrets) == ((), ())
    assert hooks(settings) == []


def test_a_code_to_scan_goes_only_to_who_names_it() -> None:
    settings = Settings.from_env({})
    assert "qr" not in settings.webhook_events
    assert {"message", "media", "alert", "ready"} <= set(settings.webhook_events)
    assert Settings.from_env({"WEBHOOK_EVENTS": "qr, message"}).webhook_events == ("qr", "message")


def test_an_event_that_there_is_not() -> None:
    assert problem(WEBHOOK_EVENTS="message,massage").startswith("WEBHOOK_EVENTS: there is no event type massage; ")
    assert problem(WEBHOOK_EVENTS=",").startswith("WEBHOOK_EVENTS: names no event type")


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://t0ken/", "http://", "https:///t0ken", "t0ken", "https://a:t0ken/", "https://a:0/t0ken"),
        *("https://a/t0 ken", "https://a/t0\u00fcken", "http://u:t0ken@/", "https://[::1/t0ken", "https://a b/t0ken"),
    ],
)
def test_an_address_that_cannot_be_used_is_not_repeated(url: str) -> None:
    told = problem(WEBHOOK_URL=f"https://good.example/,{url}")
    assert told.startswith("WEBHOOK_URL: address 2 of 2 should be http:// or https:// with a host")
    assert "t0ken" not in told


def test_an_address_is_named_once() -> None:
    assert "twice" in problem(WEBHOOK_URL="https://a.example/x, https://a.example/x")


def test_of_an_address_only_scheme_and_host_are_shown() -> None:
    urls = ["https://user:pass-word@hooks.example:8443/t0ken?key=t0ken", "http://[::1]/t0ken"]
    settings = Settings.from_env({"WEBHOOK_URL": ", ".join(urls)})
    assert [hook.host for hook in hooks(settings)] == ["https://hooks.example:8443", "http://[::1]"]
    assert [hook.id for hook in hooks(settings)] == [hashlib.sha256(url.encode()).hexdigest()[:12] for url in urls]
    assert "t0ken" not in repr(hooks(settings)) + repr(settings)
    assert {*urls, "pass-word"} <= set(settings.secrets())
    assert {"WEBHOOK_URL", "WEBHOOK_SECRET"} <= SECRET_VARIABLES


def test_parts_of_an_address_are_hidden_too() -> None:
    settings = Settings.from_env(
        {"WEBHOOK_URL": "https://u:p%40ss-word@h.example/T0KEN?k=q-s, http://u:p%40ss@i/hook"}
    )
    told = without_secrets("p%40ss-word p@ss-word /T0KEN?k=q-s p%40ss", settings.secrets())
    assert told == " ".join(["[hidden]"] * 4)
    assert without_secrets("POST /hook", settings.secrets()) == "POST /hook"


def test_an_address_that_is_no_more_than_its_host_is_shown() -> None:
    settings = Settings.from_env({"WEBHOOK_URL": "https://hooks.example"})
    assert without_secrets("to https://hooks.example", settings.secrets()) == "to https://hooks.example"


@pytest.mark.parametrize("secret", ["short", f"{SECRET},short", "whsec_not!base64!not!base64", "whsec_c2hvcnQ=", ","])
def test_a_secret_that_cannot_be_used_is_not_repeated(secret: str) -> None:
    told = problem(WEBHOOK_SECRET=secret)
    assert told.startswith("WEBHOOK_SECRET: ")
    assert not any(part in told for part in secret.split(",") if part)


# -- signatures


def test_the_specification_s_own_example() -> None:
    """Of Standard Webhooks' reference implementations."""
    key = base64.b64decode(SECRET)
    told = headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', [key])
    assert told["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_every_secret_signs() -> None:
    settings = Settings.from_env(
        {"WEBHOOK_URL": "https://a/", "WEBHOOK_SECRET": f"whsec_{SECRET},plain-characters-here"}
    )
    told = headers("id", 17, b"{}", hooks(settings)[0].secrets)
    expected = [
        "v1," + base64.b64encode(hmac.new(key, b"id.17.{}", hashlib.sha256).digest()).decode()
        for key in (base64.b64decode(SECRET), b"plain-characters-here")
    ]
    assert told["webhook-signature"].split(" ") == expected
    assert "webhook-signature" not in headers("id", 17, b"{}", [])


# -- what follows


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        *((status, Verdict.TAKEN) for status in (200, 201, 202, 204)),
        *((status, Verdict.AWAY) for status in (408, 502, 504)),
        *((status, Verdict.BUSY) for status in (425, 429, 503)),
        *((status, Verdict.REFUSED) for status in (301, 302, 307, 400, 401, 403, 404, 410, 413, 422, 500, 501)),
    ],
)
def test_an_answer(status: int, verdict: Verdict) -> None:
    assert answered(status, None).verdict is verdict


def test_who_is_away_is_waited_for_without_end() -> None:
    history = History()
    assert {next_step(Verdict.AWAY, history, 7, 0, 10.0**9) for _ in range(10_000)} == {Step.HOLD_ALL}


def test_an_event_that_is_never_answered_though_others_are_has_an_end() -> None:
    history = History()
    steps = [next_step(Verdict.AWAY, history, taken, 0, 0.0) for taken in range(LONELY_TRIES + 1)]
    assert steps == [Step.HOLD_ALL, *[Step.TRY_AGAIN] * (LONELY_TRIES - 1), Step.BURY]


def test_who_has_too_much_to_do_is_no_event_s_fault() -> None:
    history = History()
    steps = {next_step(Verdict.BUSY, history, taken, 0, 0.0) for taken in range(10 * LONELY_TRIES)}
    assert (steps, history.lonely) == ({Step.HOLD_ALL}, 0)


def test_who_refuses_an_event_is_asked_some_times() -> None:
    history = History()
    steps = [next_step(Verdict.REFUSED, history, 0, 0, 0.0) for _ in range(TRIES)]
    assert steps == [Step.TRY_AGAIN] * (TRIES - 1) + [Step.BURY]


def test_who_refuses_everything_is_waited_for_and_yet_each_event_has_an_end() -> None:
    history = History()
    steps = [next_step(Verdict.REFUSED, history, 0, DEAD_IN_A_ROW, PATIENCE_S) for _ in range(TRIES)]
    assert steps == [Step.HOLD_ALL] * (TRIES - 1) + [Step.BURY]
    assert next_step(Verdict.REFUSED, history, 0, DEAD_IN_A_ROW, PATIENCE_S - 1) is Step.HOLD_ALL


@given(st.integers(1, 10_000), st.one_of(st.none(), st.floats(0, 1e9)))
def test_a_wait_is_bounded_and_not_less_than_was_asked_for(failures: int, asked_s: float | None) -> None:
    waited_s = wait_s(failures, asked_s)
    assert 0 < waited_s <= MOST_WAIT_S
    assert waited_s >= min(asked_s or 0.0, MOST_WAIT_S)


# -- lanes


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def job(key: str, lane: str = "a") -> Job:
    return Job(key, key, lane, b"{}")


def dealt(*jobs: Job) -> tuple[Lanes, Clock]:
    clock = Clock()
    lanes = Lanes(clock)
    for one in jobs:
        lanes.add(one)
    return lanes, clock


def test_of_a_chat_one_event_at_a_time() -> None:
    lanes, _ = dealt(job("1"), job("2"), job("3", "b"))
    first, other = lanes.take(), lanes.take()
    assert (first.key, other.key) == ("1", "3")
    taken: list[str] = []
    waiting = threading.Thread(target=lambda: taken.append(lanes.take().key), daemon=True)
    waiting.start()
    lanes.done(other)  # it was the last one of its chat
    waiting.join(0.1)
    assert taken == []
    lanes.done(first)
    assert lanes.take().key == "2"
    lanes.add(job("4", "c"))
    waiting.join(20)
    assert taken == ["4"]


def test_an_event_is_in_hand_once_until_it_is_written_down() -> None:
    lanes, _ = dealt(job("1"), job("1"))
    first = lanes.take()
    lanes.done(first)
    lanes.add(job("1"))
    assert not lanes.wait_for_room(1, 0)
    lanes.forget(["1"])
    assert lanes.wait_for_room(1, 0)
    lanes.add(job("1"))
    assert lanes.take().key == "1"


def test_who_is_away_is_asked_by_one_alone_and_by_each_in_turn() -> None:
    lanes, clock = dealt(job("1"), job("2", "b"), job("3", "c"))
    first, second, third = lanes.take(), lanes.take(), lanes.take()
    lanes.hold_all(first, 50.0)
    lanes.hold_all(second, 250.0)  # under way meanwhile: of the same outage
    clock.now += 50.0
    assert lanes.take() is first
    lanes.hold_all(third, None)
    lanes.hold_all(first, 10.0)
    clock.now += 10.0
    assert lanes.take() is second
    lanes.later(second, 100.0)  # it is the event that gets no answer: the next one finds out
    assert lanes.take() is third
    lanes.go_on(third)
    assert lanes.take() is first


def test_what_was_under_way_when_all_was_held_does_not_end_that() -> None:
    lanes, clock = dealt(job("1"), job("2", "b"), job("3", "c"))
    first, second = lanes.take(), lanes.take()
    lanes.hold_all(first, 30.0)
    lanes.go_on(second)
    lanes.done(second)
    taken: list[Job] = []
    waiting = threading.Thread(target=lambda: taken.append(lanes.take()), daemon=True)
    waiting.start()
    waiting.join(0.1)
    assert taken == []
    clock.now += 30.0
    lanes.add(job("4", "d"))  # wakes it
    waiting.join(20)
    lanes.go_on(taken[0])
    assert {lanes.take().key, lanes.take().key, taken[0].key} == {"1", "3", "4"}


def test_what_was_dropped_may_come_again_and_what_is_done_with_may_not() -> None:
    lanes, _ = dealt(job("1"), job("2", "b"))
    lanes.done(lanes.take())
    lanes.drop()
    lanes.add(job("1"))
    lanes.add(job("2", "b"))
    assert lanes.take().key == "2"


def test_what_was_dropped_while_it_was_under_way_is_not_posted_beside_itself() -> None:
    lanes, clock = dealt(job("1"), job("2", "b"))
    under_way, refused = lanes.take(), lanes.take()
    lanes.drop()
    for again in (job("1"), job("3"), job("2", "b"), job("4", "c")):
        lanes.add(again)
    assert lanes.take().key == "4"
    lanes.later(refused, 10.0)
    clock.now += 10.0
    assert lanes.take().key == "2"
    lanes.done(under_way)  # it was taken meanwhile: it does not come again
    assert lanes.take().key == "3"
    lanes.add(job("1"))
    assert [one.key for one in lanes.jobs("a")] == ["3"]


def test_a_chat_that_takes_all_places_is_cut() -> None:
    lanes, _ = dealt(*(job(f"{number}") for number in range(9)), *(job(f"b{number}", "b") for number in range(9)))
    first = lanes.take()
    assert lanes.cut(3, spared="b") == {"a": "3"}
    assert (lanes.count("a"), lanes.count("b")) == (3, 9)
    assert lanes.wait_for_room(13, 0)
    lanes.done(first)
    assert [one.key for one in lanes.jobs("a")] == ["1", "2"]
