"""Cron with seconds."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.schedule import crons
from whatsapp_contract.settings import Settings, SettingsError
from workers.cron import BadCron, Cron

NOON = int(datetime(2026, 11, 23, 12, 0, tzinfo=UTC).timestamp())  # a Monday


def seconds_of(text: str, length: int = 3600) -> list[int]:
    cron = Cron.parse(text)
    return [second for second in range(length) if cron.matches(NOON + second)]


def test_every_ten_seconds() -> None:
    assert seconds_of("*/10 * * * * *", 60) == [0, 10, 20, 30, 40, 50]


def test_five_fields_run_on_the_first_second() -> None:
    assert seconds_of("0 * * * *", 7200) == [0, 3600]
    assert seconds_of("*/15 * * * *") == [0, 900, 1800, 2700]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5,35 * * * * *", [5, 35]),
        ("10-12 * * * * *", [10, 11, 12]),
        ("10-20/5 * * * * *", [10, 15, 20]),
        ("30-40/7,5 * * * * *", [5, 30, 37]),
        ("0 0 12 * * 1", [0]),
        ("0 0 12 * * 1-5", [0]),
        ("0 0 12 * * 0,7", []),
        ("0 0 12 * * 2", []),
        ("0 0 12 23 11 *", [0]),
        ("0 0 12 24 11 *", []),
    ],
)
def test_lists_ranges_and_days(text: str, expected: list[int]) -> None:
    assert seconds_of(text, 60) == expected


@pytest.mark.parametrize(
    "bad",
    [
        "", "*", "* * * *", "* * * * * * *", "60 * * * * *", "*/0 * * * * *", "5/10 * * * * *", "20-10 * * * * *",
        "٣ * * * * *", "1, * * * * *", "0 0 12 * * 8", "a * * * *", "* 24 * * *", "*/x * * * * *", "@hourly",
        "-1 * * * * *", "1-70 * * * * *", "0 0 0 0 0 0",
    ],
)  # fmt: skip
def test_a_bad_expression_is_refused(bad: str) -> None:
    with pytest.raises(BadCron):
        Cron.parse(bad)


def test_both_bad_expressions_are_named_at_once() -> None:
    settings = Settings.from_env({"HEALTH_CHECK_CRON": "often", "CONNECTION_RESET_CRON": "* * *"})
    with pytest.raises(SettingsError) as caught:
        crons(settings)
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "HEALTH_CHECK_CRON",
        "CONNECTION_RESET_CRON",
    ]


def test_sunday_is_0_and_7() -> None:
    sunday = NOON - 24 * 3600
    assert Cron.parse("0 12 * * 0").matches(sunday)
    assert Cron.parse("0 12 * * 7").matches(sunday)
    assert Cron.parse("0 12 * * 5-7").matches(sunday)


@given(step=st.integers(1, 59), start=st.integers(0, 2**31))
def test_a_step_of_seconds_matches_just_its_multiples(step: int, start: int) -> None:
    cron = Cron.parse(f"*/{step} * * * * *")
    assert cron.matches(start) == (datetime.fromtimestamp(start, UTC).second % step == 0)


@given(text=st.text(max_size=30), second=st.integers(0, 2**31))
def test_any_text_is_a_cron_or_refused(text: str, second: int) -> None:
    try:
        Cron.parse(text).matches(second)
    except BadCron:
        pass


@pytest.mark.parametrize("text", ["* * * * *", "*/5 * * * *", "30 * * * * *", "0,1 * * * * *", "*/10 */5 * * * *"])
def test_checks_that_are_too_rare_to_agree_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"HEALTH_CHECK_CRON: .*two must agree"):
        crons(Settings.from_env({"HEALTH_CHECK_CRON": text}))


@pytest.mark.parametrize(
    ("text", "wait_s"), [("*/10 * * * * *", 10), ("0,30 * * * * *", 30), ("5-50/15 * 8-20 * * *", 15)]
)
def test_checks_that_are_near_enough_are_taken(text: str, wait_s: int) -> None:
    assert crons(Settings.from_env({"HEALTH_CHECK_CRON": text}))["check"].longest_wait_s == wait_s
