"""What counts as an outage, by the words that Redis itself uses; and which addresses can be used."""

import socketserver
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from whatsapp_contract.redis_connection import check_url, connect, connect_async, is_outage

OUTAGES = [
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    "CLUSTERDOWN The cluster is down",
    "LOADING Redis is loading the dataset in memory",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
    "NOAUTH Authentication required.",
    "NOPERM User default has no permissions to access one of the keys used as arguments",
    "NOREPLICAS Not enough good replicas to write.",
    "OOM command not allowed when used memory > 'maxmemory'.",
    "READONLY You can't write against a read only replica. script: 5b1f3a, on @user_script:1.",
    "TRYAGAIN Multiple keys request during rehashing of slot",
    "WRONGPASS invalid username-password pair or user is disabled.",
    "WRONGTYPE Operation against a key holding the wrong kind of value",
    "ERR max number of clients reached",
    # as a script of Redis 6 tells it
    "ERR Error running script (call to f_5b1f3a): @user_script:1: @user_script: 1: -OOM command not allowed when",
]
BUGS = [
    "ERR unknown command 'DANCE'",
    "ERR wrong number of arguments for 'hset' command",
    "ERR Error running script (call to f_5b1f3a): @user_script:1: attempt to index a nil value",
    "BUSYGROUP Consumer Group name already exists",
    "NOSCRIPT No matching script. Please use EVAL.",
]


class FakeRedis(socketserver.ThreadingTCPServer):
    """Answers each command but those of the greeting with one error."""

    daemon_threads = True
    answer = ""

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.server_address[1]}/0"


class Greeter(socketserver.StreamRequestHandler):
    server: FakeRedis

    def handle(self) -> None:
        while size := self.rfile.readline()[1:]:
            command, *_ = [(self.rfile.readline(), self.rfile.readline())[1].strip() for _ in range(int(size))]
            match command:
                case b"HELLO":
                    answer = "%1\r\n$5\r\nproto\r\n:3"
                case b"CLIENT" | b"MULTI":
                    answer = "+OK"
                case b"EXEC":
                    answer = "-EXECABORT Transaction discarded because of previous errors."
                case _:
                    answer = f"-{self.server.answer}"
            self.wfile.write(f"{answer}\r\n".encode())


@pytest.fixture(scope="module")
def server() -> Iterator[FakeRedis]:
    with FakeRedis(("127.0.0.1", 0), Greeter) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def plainly(client: "redis.Redis") -> Any:
    return client.get("k")


def in_pipeline(client: "redis.Redis") -> Any:
    with client.pipeline(transaction=False) as pipeline:
        pipeline.get("k")
        return pipeline.execute()


def in_transaction(client: "redis.Redis") -> Any:
    with client.pipeline(transaction=True) as pipeline:
        pipeline.rpush("k", '{"text": "BUSY (\'OOM "}')
        pipeline.expire("k", 60)
        return pipeline.execute()


@pytest.mark.parametrize("how", [plainly, in_pipeline, in_transaction])
@pytest.mark.parametrize(("answer", "expected"), [(a, True) for a in OUTAGES] + [(b, False) for b in BUGS])
def test_what_redis_says_is_an_outage_or_a_bug(
    server: FakeRedis, how: Callable[["redis.Redis"], Any], answer: str, expected: bool
) -> None:
    server.answer = answer
    with connect(server.url) as client, pytest.raises((redis.RedisError, OSError)) as caught:
        how(client)
    assert is_outage(caught.value) is expected


@pytest.mark.parametrize("answer", OUTAGES)
async def test_the_loop_s_client_sees_the_same(server: FakeRedis, answer: str) -> None:
    server.answer = answer
    async with connect_async(server.url) as client:
        for transaction in (False, True):
            async with client.pipeline(transaction=transaction) as pipeline:
                pipeline.get("k")
                with pytest.raises((redis.RedisError, OSError)) as caught:
                    await pipeline.execute()
            assert is_outage(caught.value)


def test_a_bug_of_ours_is_none() -> None:
    assert not is_outage(ValueError("OOM "))


@pytest.mark.parametrize(
    "url",
    [
        "redis://",
        "redis://redis",
        "redis://redis/",
        "redis://u:p%2Fw@redis:6380/2",
        "rediss://:p@[::1]:1/0?ssl_cert_reqs=none",
        "unix:///run/redis.sock?db=1",
        "unix://:p@/run/redis.sock",
    ],
)
def test_an_address_that_can_be_used(url: str) -> None:
    check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "redis",
        "http://redis:6379/0",
        "redis://:s3cret/pw@redis:6379/0",
        "redis://:s3cret@redis:port/0",
        "redis://:s3cret@redis:70000/0",
        "redis://:s3cret@redis:0/0",
        "redis://:s3cret@redis/first",
        "redis://:s3cret@redis/-1",
        "redis://:s3cret@redis/0?db=s3cret",
        "redis://:s3cret@redis/0?s3cret=1",
        "redis://:s3cret@[redis/0",
        "rediss://:s3cret@redis/0?ssl_cert_reqs=s3cret",
        "unix://",
        "unix://:s3cret@/",
    ],
)
def test_an_address_that_cannot_be_used_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="should be redis://") as caught:
        check_url(url)
    assert "s3cret" not in str(caught.value)
