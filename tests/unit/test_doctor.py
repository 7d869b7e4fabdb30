"""What the doctor makes of what it sees; nothing is asked of anybody here."""

import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import AuthenticationError, BusyLoadingError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from cli.act import why_none
from cli.advice import TAKE_BACK
from cli.checks import browser, machine, redis_server, service, site, stores, variables, watchdog
from cli.checks.finding import Finding, Level, ok
from cli.checks.machine import Skew
from cli.checks.runner import Check, carry_out
from cli.service import usable_settings
from whatsapp_contract.health import Verdict
from whatsapp_contract.settings import Settings
from whatsapp_contract.states import SessionState
from whatsapp_contract.status import Status

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
INFO: dict[str, Any] = {
    "redis_version": "7.0.15",
    "role": "master",
    "aof_enabled": 1,
    "aof_last_write_status": "ok",
    "rdb_last_bgsave_status": "ok",
    "maxmemory": 0,
    "maxmemory_policy": "noeviction",
    "used_memory": 10**6,
    "total_system_memory": 10**10,
}
STATUS = Status(
    session_id="s",
    instance="here",
    pid=1,
    epoch=1,
    started_at=NOW,
    heartbeat_at=NOW,
    state=SessionState.READY,
    since=NOW - timedelta(hours=1),
    verdict=Verdict.HEALTHY,
    verdict_reason="ready",
    browser_seen_at=NOW,
    page_seen_at=NOW,
    frame_seen_at=NOW,
    authenticated=True,
)


def by_name(findings: list[Finding]) -> dict[str, Level]:
    return {finding.name: finding.level for finding in findings}


# -- the runner ------------------------------------------------------------------------------------------------------


def test_a_check_that_hangs_holds_up_neither_the_others_nor_the_end() -> None:
    hung = threading.Event()
    started = time.monotonic()
    findings = list(
        carry_out(
            [
                Check("hangs", lambda: [ok("hangs", str(hung.wait(60)))], 0.2, "look at the disk"),
                Check("well", lambda: [ok("well", "well")], 20.0, ""),
            ]
        )
    )
    hung.set()
    assert time.monotonic() - started < 30
    assert findings[0] == Finding("hangs", Level.BAD, "no answer within 0.2 s", "look at the disk")
    assert findings[1] == ok("well", "well")


def test_a_mistake_in_a_check_is_a_finding_and_the_others_go_on() -> None:
    def mistaken() -> list[Finding]:
        raise KeyError("x")

    findings = list(carry_out([Check("one", mistaken, 5, ""), Check("two", lambda: [ok("two", "well")], 5, "")]))
    assert by_name(findings) == {"one": Level.BAD, "two": Level.OK}
    assert "KeyError" in findings[0].found


def test_what_needs_a_variable_that_cannot_be_used_is_not_looked_at() -> None:
    check = Check("redis", lambda: [ok("redis", "well")], 5, "", frozenset({"REDIS_URL", "REDIS_PORT"}))
    (finding,) = carry_out([check], frozenset({"REDIS_URL", "PORT"}))
    assert (finding.level, finding.found) == (Level.WARN, "not looked at: REDIS_URL cannot be used")


# -- settings --------------------------------------------------------------------------------------------------------


def test_every_bad_variable_has_a_line_and_the_others_are_used() -> None:
    settings, problems = usable_settings(
        {"PORT": "x", "HEALTH_CHECK_CRON": "often", "SESSION_ENCRYPTION_KEY": "s3cret", "REDIS_HOST": "elsewhere"}
    )
    *findings, misspelled = variables.variables(problems, {"QR_CONSOL": "off", "PATH": "/bin"}, ())
    assert [finding.found.partition(":")[0] for finding in findings] == [
        "PORT",
        "HEALTH_CHECK_CRON",
        "SESSION_ENCRYPTION_KEY",
    ]
    assert {finding.level for finding in findings} == {Level.BAD}
    assert (misspelled.level, misspelled.advice) == (Level.WARN, "is QR_CONSOLE meant?")
    assert settings.redis_host == "elsewhere"
    assert "s3cret" not in str(findings)


def test_a_rule_that_is_a_word_but_for_its_spelling_is_told_with_the_word() -> None:
    chats = ("group", "!privates", "all", "Family*", "393331111111")
    findings = variables.variables([], {}, chats)
    assert {finding.level for finding in findings} == {Level.WARN}
    assert [finding.found.partition(" is taken")[0] for finding in findings] == [
        "FOLLOW_CHATS: 'group'",
        "FOLLOW_CHATS: '!privates'",
    ]
    assert [str(finding.advice).partition("?")[0] for finding in findings] == ["is groups meant", "is private meant"]
    (finding,) = variables.variables([], {}, Settings.from_env({}).follow_chats)
    assert finding.level is Level.OK


def test_keys_are_named_not_told() -> None:
    (finding,) = variables.encryption(Settings.from_env({"SESSION_ENCRYPTION_KEY": f"{'ab' * 32},{'cd' * 32}"}))
    assert finding.level is Level.OK
    assert "1 older" in finding.found
    assert "abab" not in finding.found


# -- Redis -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "name", "level"),
    [
        ({"aof_enabled": 0}, "redis persistence", Level.WARN),
        ({"aof_last_write_status": "err"}, "redis persistence", Level.BAD),
        ({"rdb_last_bgsave_status": "err"}, "redis persistence", Level.BAD),
        ({"maxmemory_policy": "allkeys-lru"}, "redis eviction", Level.WARN),
        ({"maxmemory_policy": "volatile-ttl", "maxmemory": 10**9}, "redis eviction", Level.BAD),
        ({"maxmemory": 1_200_000}, "redis memory", Level.WARN),
        ({"maxmemory": 1_000_001}, "redis memory", Level.BAD),
        ({"used_memory": 9 * 10**9}, "redis memory", Level.WARN),
        ({"role": "slave"}, "redis rights", Level.BAD),
    ],
)
def test_what_info_tells(changed: dict[str, Any], name: str, level: Level) -> None:
    assert set(by_name(redis_server.judge_info(INFO)).values()) == {Level.OK}
    found = redis_server.judge_info(INFO | changed)
    assert [finding.name for finding in found if finding.level is not Level.OK] == [name]
    (finding,) = (finding for finding in found if finding.name == name)
    assert finding.level is level
    assert finding.advice


@pytest.mark.parametrize(
    ("version", "level"),
    [("6.0.16", Level.BAD), ("6.2.0", Level.OK), ("7.0.15", Level.OK), ("10.0.0", Level.OK), ("", Level.WARN)],
)
def test_the_version(version: str, level: Level) -> None:
    assert redis_server.reachable("redis:6379", {"redis_version": version}).level is level


def test_latency() -> None:
    assert [redis_server.latency(ms).level for ms in (0.1, 80.0, 900.0)] == [Level.OK, Level.WARN, Level.BAD]


@pytest.mark.parametrize(
    ("refused", "advice"),
    [
        ({"XADD": "NOPERM this user has no permissions"}, "ACL SETUSER"),
        ({"SET": "OOM command not allowed"}, "maxmemory"),
        ({"SET": "READONLY You can't write"}, "master"),
        ({"SET": "MISCONF Redis is configured to save"}, "disk"),
        ({"SET": "something else"}, "log"),
    ],
)
def test_refused_commands_are_told_with_what_helps(refused: dict[str, str], advice: str) -> None:
    finding = redis_server.rights(refused)
    assert finding.level is Level.BAD
    assert advice in str(finding.advice)
    assert redis_server.rights({}).level is Level.OK


def because(cause: BaseException) -> RedisConnectionError:
    error = RedisConnectionError("no")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (AuthenticationError("WRONGPASS"), "REDIS_PASSWORD"),
        (BusyLoadingError("LOADING"), "wait"),
        (RedisTimeoutError("Timeout reading"), "frozen"),
        (because(ConnectionRefusedError()), "start Redis"),
        (RedisConnectionError("Connection closed"), "REDIS_URL"),
    ],
)
def test_why_redis_is_away(error: Exception, advice: str) -> None:
    finding = redis_server.away(error, "redis:6379", starts_with_service=False)
    assert finding.level is Level.BAD
    assert advice in str(finding.advice)


def test_a_redis_that_comes_with_the_service_is_not_missed_before() -> None:
    finding = redis_server.away(because(ConnectionRefusedError()), "127.0.0.1:6379", starts_with_service=True)
    assert finding.level is Level.WARN


def test_the_place_has_no_password() -> None:
    assert redis_server.place("rediss://user:s3cret@redis.example:7000/0") == "redis.example:7000"
    assert redis_server.place("unix:///run/redis.sock?db=1") == "/run/redis.sock"


# -- the others ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("is_root", "has_helper", "refusal", "level"),
    [
        (False, False, None, Level.OK),
        (False, True, "Operation not permitted", Level.OK),
        (False, False, "Operation not permitted", Level.BAD),
        (True, True, None, Level.BAD),
    ],
)
def test_the_sandbox(is_root: bool, has_helper: bool, refusal: str | None, level: Level) -> None:
    assert browser.sandbox(is_root=is_root, has_helper=has_helper, refusal=refusal).level is level


def test_wa_js_is_there_readable_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "wa.js"
    settings = Settings.from_env({"WA_JS_PATH": str(path)})
    assert browser.wa_js(settings)[0].level is Level.BAD
    path.write_bytes(b"<html>")
    assert browser.wa_js(settings)[0].level is Level.BAD
    path.write_bytes(b"//" + b"x" * 20_000)
    assert browser.wa_js(settings)[0].level is Level.WARN
    path.write_bytes(b"/*! wppconnect-team/wa-js v4.6.0 */" + b"x" * 20_000)
    (finding,) = browser.wa_js(settings)
    assert finding.level is Level.OK
    assert "4.6.0" in finding.found


def test_conditional_writes_matter_for_sessions_alone() -> None:
    assert stores.outcome("n", "s3://b", fences=True, needs_fences=True).level is Level.OK
    assert stores.outcome("n", "s3://b", fences=False, needs_fences=True).level is Level.WARN
    assert stores.outcome("n", "s3://b", fences=False, needs_fences=False).level is Level.OK


def test_space() -> None:
    judged = [
        machine.space(*given).level for given in ((10**10, 10**6), (10**10, None), (10**10, 5), (5 * 10**8, 10**6))
    ]
    assert judged == [Level.OK, Level.OK, Level.BAD, Level.WARN]
    assert machine.space(10**6, None).level is Level.BAD


def test_the_clock_is_judged_by_what_is_certain() -> None:
    assert machine.judge_clock([]).level is Level.WARN
    assert machine.judge_clock([Skew("Redis", 1.5, 0.1), Skew("the site", 2.4, 0.6)]).level is Level.OK
    finding = machine.judge_clock([Skew("Redis", 0.0, 0.1), Skew("the site", -5.0, 0.6)])
    assert (finding.level, finding.found) == (Level.WARN, "5 s ahead of the site")
    assert machine.judge_clock([Skew("Redis", 3600.0, 0.1)]).level is Level.BAD


def test_a_date_header_tells_whole_seconds() -> None:
    at = NOW.timestamp()
    skew = machine.of_date("the site", format_datetime(NOW + timedelta(seconds=10), usegmt=True), at, at + 0.2)
    assert skew is not None
    assert skew.least_s == pytest.approx(9.8)
    assert machine.of_date("the site", "yesterday", at, at) is None


@pytest.mark.parametrize(("status", "level"), [(200, Level.OK), (302, Level.OK), (403, Level.WARN), (502, Level.BAD)])
def test_the_sites_status(status: int, level: Level) -> None:
    assert site.judge("web.whatsapp.com", status).level is level


def test_a_redis_of_others_leaves_ours_stopped() -> None:
    states = {"browser-agent": "RUNNING", "redis": "STOPPED"}
    assert service.judge_programs(states).level is Level.OK
    assert service.judge_programs(states | {"worker": "STARTING"}).level is Level.WARN
    assert service.judge_programs(states | {"worker": "FATAL"}).level is Level.BAD


def test_where_there_are_no_webhooks_what_posts_to_them_is_stopped() -> None:
    states = {"browser-agent": "RUNNING", "webhooks": "STOPPED"}
    assert service.judge_programs(states).level is Level.OK
    assert service.judge_programs(states, posts=True).level is Level.BAD
    assert service.judge_programs(states | {"webhooks": "BACKOFF"}).level is Level.BAD


@pytest.mark.parametrize(
    ("watched_at", "level"), [(None, Level.WARN), (1000.0, Level.OK), (911.0, Level.OK), (909.0, Level.BAD)]
)
def test_a_watchdog_that_does_not_look_any_more_is_told(watched_at: float | None, level: Level) -> None:
    assert watchdog.judge(watched_at, 1000.0).level is level


@pytest.mark.parametrize(
    ("changed", "level", "advice"),
    [
        ({}, Level.OK, ""),
        ({"session_problem": "store_refused"}, Level.WARN, "docs/sessions.md"),
        ({"state": SessionState.AWAITING_SCAN}, Level.WARN, "qr"),
        ({"state": SessionState.CONFLICT}, Level.BAD, "close"),
        ({"state": SessionState.BLOCKED}, Level.BAD, "phone"),
        ({"state": SessionState.DISCONNECTED, "reason": "offline"}, Level.BAD, "worker"),
        ({"state": SessionState.STARTING, "since": NOW}, Level.WARN, "coming up"),
        ({"state": SessionState.STARTING, "reason": "wrong_key"}, Level.BAD, "docs/sessions.md"),
        ({"state": SessionState.STARTING, "reason": "site_unreachable"}, Level.BAD, "`site`"),
        ({"held_until": NOW + timedelta(minutes=5)}, Level.BAD, "restart --browser"),
        ({"page_seen_at": NOW - timedelta(minutes=5)}, Level.BAD, "worker"),
        ({"heartbeat_at": NOW - timedelta(minutes=5)}, Level.BAD, "restart"),
        ({"instance": "elsewhere"}, Level.BAD, "one of the two"),
        ({"instance": "elsewhere", "heartbeat_at": NOW - timedelta(minutes=5)}, Level.BAD, TAKE_BACK),
    ],
)
def test_the_agent(changed: dict[str, Any], level: Level, advice: str) -> None:
    finding = service.judge_agent(STATUS.model_copy(update=changed), NOW, "here", runs_here=True)
    assert finding.level is level
    assert advice in (finding.advice or "")


def test_a_restart_that_nobody_makes_is_told_with_what_the_doctor_says() -> None:
    assert why_none(STATUS, NOW) == why_none(None, NOW) == "is the worker running?"
    silent = STATUS.model_copy(update={"instance": "elsewhere", "heartbeat_at": NOW - timedelta(minutes=5)})
    assert why_none(silent, NOW) == f"the session is held by elsewhere, which was last heard 300 s ago: {TAKE_BACK}"


def test_an_agent_that_does_not_run_here_is_not_missed_here() -> None:
    silent = STATUS.model_copy(update={"heartbeat_at": NOW - timedelta(hours=5)})
    judged = [service.judge_agent(status, NOW, "here", runs_here=False) for status in (None, silent)]
    assert {finding.level for finding in judged} == {Level.WARN}
    assert service.judge_agent(None, NOW, "here", runs_here=True).level is Level.BAD
    elsewhere = STATUS.model_copy(update={"instance": "elsewhere"})
    assert service.judge_agent(elsewhere, NOW, "here", runs_here=False).level is Level.OK


def test_a_shared_store_is_told_once() -> None:
    finding = Finding("session store", Level.BAD, "s3://b: no", "grant")
    assert stores.same(finding) == replace(finding, name="media store", found="the same", advice="see session store")
