"""Redis: whether it answers, what it is, how it keeps things, what it lets us do."""

import secrets
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import redis
from redis.exceptions import AuthenticationError, BusyLoadingError, NoPermissionError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from whatsapp_contract.redis_connection import ANSWER_WITHIN_S, CONNECT_WITHIN_S, connect
from whatsapp_contract.settings import Settings

from .finding import Finding, bad, ok, warn

WITHIN_S = 3 * (CONNECT_WITHIN_S + ANSWER_WITHIN_S)
OLDEST = (6, 2)
PINGS = 5
SLOW_MS, TOO_SLOW_MS = 50.0, 500.0
NEARLY_FULL, FULL = 0.80, 0.95
PROBE_EXPIRES_S = 60

_NAME = "redis"
_MASTER = "let REDIS_HOST or REDIS_URL name the master"


def look(settings: Settings, *, service_runs: bool) -> list[Finding]:
    """Everything of Redis; only that it does not answer, where it does not."""
    ours = not (settings.redis_host or settings.redis_url_given or settings.redis_embedded == "off")
    url = settings.redis_url.get_secret_value()
    where = place(url)
    try:
        with connect(url) as client:
            best_ms = _best_ping_ms(client)
            info = _info(client)
            findings = [reachable(where, info), latency(best_ms), *(judge_info(info) if info else [])]
            if info.get("role") != "slave":
                findings.append(_rights(client, settings))
            return findings
    except (RedisError, OSError) as error:
        return [away(error, where, starts_with_service=ours and not service_runs)]


def place(url: str) -> str:
    """Where it is, for people: no password."""
    parts = urlsplit(url)
    return parts.path if parts.scheme == "unix" else f"{parts.hostname or 'localhost'}:{parts.port or 6379}"


# -- decisions -------------------------------------------------------------------------------------------------------


def away(error: Exception, where: str, *, starts_with_service: bool) -> Finding:
    """Why nothing can be asked of it."""
    causes = list(_causes(error))
    if isinstance(error, AuthenticationError):
        return bad(
            _NAME,
            f"{where} does not accept our password or user ({error})",
            "check the password in REDIS_URL, or REDIS_PASSWORD",
        )
    if isinstance(error, NoPermissionError):
        return bad(_NAME, f"{where} refuses even PING ({error})", "give this user rights: ACL SETUSER ... +@all")
    if isinstance(error, BusyLoadingError):
        return bad(_NAME, f"{where} is still loading its data", "wait; it answers when it is done")
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return bad(
            _NAME,
            f"no TLS with {where} ({error})",
            "rediss:// is for a Redis with TLS, redis:// for one without; check its certificate",
        )
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return bad(_NAME, f"the name in {where} is not known", "check REDIS_HOST or REDIS_URL, and this machine's DNS")
    if any(isinstance(cause, (ConnectionRefusedError, FileNotFoundError)) for cause in causes):
        if starts_with_service:
            return warn(_NAME, f"nothing listens on {where}", "start the service: it runs a Redis of its own there")
        return bad(_NAME, f"nothing listens on {where}", "start Redis, or check REDIS_HOST, REDIS_PORT and REDIS_URL")
    if isinstance(error, RedisTimeoutError) or any(isinstance(cause, TimeoutError) for cause in causes):
        return bad(
            _NAME,
            f"{where} does not answer in time",
            "it is frozen, overloaded, or behind a firewall: look at its log and its machine; restart it if it hangs",
        )
    return bad(
        _NAME, f"{where} cannot be asked ({type(error).__name__}: {error})", "check REDIS_URL, and Redis' own log"
    )


def reachable(where: str, info: Mapping[str, Any]) -> Finding:
    """That it answers, and its version."""
    told = str(info.get("redis_version", ""))
    if not told:
        return warn(
            _NAME,
            f"{where} answers, but INFO is refused: version, memory and persistence are not known",
            "allow it: ACL SETUSER <user> +info",
        )
    version = tuple(int(part) if part.isdecimal() else 0 for part in told.split("."))
    if version < OLDEST:
        return bad(_NAME, f"{where} answers; it is Redis {told}", "install Redis 6.2 or newer")
    return ok(_NAME, f"{where} answers; it is Redis {told}")


def latency(best_ms: float) -> Finding:
    """By the best of some PINGs: what it takes at least."""
    name, found = "redis latency", f"an answer takes {best_ms:.1f} ms"
    if best_ms > TOO_SLOW_MS:
        return bad(name, found, "bring Redis closer, or find what keeps it busy: redis-cli slowlog get")
    if best_ms > SLOW_MS:
        return warn(name, found, "everything waits for Redis: bring it closer, or see redis-cli slowlog get")
    return ok(name, found)


def judge_info(info: Mapping[str, Any]) -> list[Finding]:
    """Of what INFO tells."""
    findings = [persistence(info), eviction(info), memory(info)]
    if info.get("role") == "slave":
        findings.append(bad("redis rights", "it is a replica, which takes no writes", _MASTER))
    return findings


def persistence(info: Mapping[str, Any]) -> Finding:
    """What a crash of Redis would lose."""
    name = "redis persistence"
    if info.get("aof_enabled") and info.get("aof_last_write_status", "ok") != "ok":
        return bad(name, "its last write to its append-only file failed", "free space on Redis' disk, see its log")
    if info.get("rdb_last_bgsave_status", "ok") != "ok":
        return bad(name, "its last snapshot failed", "free space on Redis' disk or memory, see its log")
    if not info.get("aof_enabled"):
        return warn(
            name,
            "appendonly is off: a crash of Redis loses what was told, claimed and queued since its last snapshot",
            "redis-cli config set appendonly yes, and write it into redis.conf",
        )
    return ok(name, "appendonly is on")


def eviction(info: Mapping[str, Any]) -> Finding:
    """Any policy but one may throw away what must not be lost, once the memory is full."""
    name, policy = "redis eviction", str(info.get("maxmemory_policy", "unknown"))
    if policy == "noeviction":
        return ok(name, "maxmemory-policy is noeviction")
    advice = "redis-cli config set maxmemory-policy noeviction, and write it into redis.conf"
    if int(info.get("maxmemory", 0)):
        return bad(name, f"maxmemory-policy is {policy}: when memory is full, events and sends get lost", advice)
    return warn(name, f"maxmemory-policy is {policy}; only as long as maxmemory is 0 it removes nothing", advice)


def memory(info: Mapping[str, Any]) -> Finding:
    """Against its own limit, else against its machine's."""
    name, used, limit = "redis memory", int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    total, of = (limit, "maxmemory") if limit else (int(info.get("total_system_memory", 0)), "its machine's memory")
    if not total:
        return ok(name, f"{_megabytes(used)} used, no limit")
    found = f"{_megabytes(used)} used of {_megabytes(total)} ({of})"
    advice = "raise maxmemory or give Redis a larger machine; lower EVENTS_MAXLEN; see redis-cli --bigkeys"
    if used > FULL * total:
        return bad(name, found, advice)
    if used > NEARLY_FULL * total:
        return warn(name, found, advice)
    return ok(name, found)


def rights(refused: Mapping[str, str]) -> Finding:
    """What a command that was tried was answered with, for those that were refused."""
    name = "redis rights"
    if not refused:
        return ok(name, "keys, streams, scripts and channels may be used")
    kinds = {_kind(answer) for answer in refused.values()}
    tried = ", ".join(sorted(refused))
    if "NOPERM" in kinds:
        return bad(
            name,
            f"this user may not: {tried}",
            "ACL SETUSER <user> ~whatsapp:* ~huey.* &* +@all -@dangerous +info, or another user in REDIS_URL",
        )
    if "OOM" in kinds:
        return bad(name, "it takes no writes: its memory is full", "raise maxmemory, or remove what nobody needs")
    if "READONLY" in kinds:
        return bad(name, "it takes no writes: it is a replica", _MASTER)
    if "MISCONF" in kinds:
        return bad(name, "it takes no writes: it cannot save to its disk", "free space on Redis' disk, see its log")
    answer = next(iter(refused.values()))
    return bad(name, f"it refuses {tried} ({answer})", "see Redis' own log")


def _kind(answer: str) -> str:
    return answer.partition(" ")[0]


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"


# -- looking ---------------------------------------------------------------------------------------------------------


def _best_ping_ms(client: "redis.Redis") -> float:
    took: list[float] = []
    client.ping()  # connects
    for _ in range(PINGS):
        started = time.perf_counter()
        client.ping()
        took.append((time.perf_counter() - started) * 1000)
    return min(took)


def _info(client: "redis.Redis") -> dict[str, Any]:
    """{} where it may not be asked."""
    try:
        found: Any = client.info()
    except NoPermissionError:
        return {}
    return dict(found)


def _rights(client: "redis.Redis", settings: Settings) -> Finding:
    """By trying: under keys of its own, which are deleted in the same breath."""
    token = secrets.token_hex(8)
    key, queue = settings.names.probe(token), settings.instance_names.queue_probe(token)
    # Only who may delete goes on to write what does not expire.
    refused = _try(client, [("SET", key, "", "EX", PROBE_EXPIRES_S), ("GET", key), ("DEL", key)])
    refused |= _try(client, [("SET", queue, "", "EX", PROBE_EXPIRES_S), ("DEL", queue)])
    if refused:
        return rights(refused)
    refused = _try(
        client,
        [
            *(("HSET", key, "field", ""), ("HGETALL", key), ("DEL", key)),
            *(("ZADD", key, 1, "member"), ("ZRANGE", key, 0, -1), ("DEL", key)),
            *(("XADD", key, "*", "event", ""), ("XRANGE", key, "-", "+"), ("DEL", key)),
            *(("LPUSH", queue, ""), ("RPOP", queue), ("DEL", queue)),
            ("EVAL", "return 1", 0),
            ("PUBLISH", key, ""),
        ],
    )
    return rights(refused | _try_to_subscribe(client, key))


def _try(client: "redis.Redis", commands: list[tuple[Any, ...]]) -> dict[str, str]:
    pipeline: Any = client.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command)
    answers = pipeline.execute(raise_on_error=False)
    tried = zip(commands, answers, strict=True)
    return {str(command[0]): _told(answer) for command, answer in tried if isinstance(answer, Exception)}


def _try_to_subscribe(client: Any, channel: str) -> dict[str, str]:
    with client.pubsub() as listener:
        try:
            listener.subscribe(channel)
            listener.get_message(timeout=1.0)
        except NoPermissionError as error:
            return {"SUBSCRIBE": _told(error)}
    return {}


_CODES = {"NoPermissionError": "NOPERM", "OutOfMemoryError": "OOM", "ReadOnlyError": "READONLY"}


def _told(error: Exception) -> str:
    """With the code that redis-py takes away."""
    code = _CODES.get(type(error).__name__)
    return f"{code} {error}" if code else str(error)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
