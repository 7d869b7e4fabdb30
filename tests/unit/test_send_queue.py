"""The queue of sends that loses nothing: Huey's storage on fakeredis with Lua, and the carrier that works on it."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import fakeredis
import huey.utils
import pytest
from pydantic import BaseModel

from whatsapp_contract.errors import AgentUnreachable, BadArguments, ContractError
from whatsapp_contract.names import SessionNames
from whatsapp_contract.results import CarrySendResult
from whatsapp_contract.send_queue import message_of
from workers import send_queue
from workers.send_queue import SendQueue, SendStorage
from workers.sending import Carrier

NAMES = SessionNames("s1")


@pytest.fixture
def redis() -> Iterator[Any]:
    with fakeredis.FakeRedis(decode_responses=True) as client:
        yield client


def storage(redis: Any, instance: str = "i1") -> SendStorage:
    return SendStorage("any", client=redis, names=NAMES, instance=instance)


def message(key: str) -> bytes:
    return message_of(key).encode()


def in_thread(call: Callable[[], Any]) -> Any:
    """What a call answers in a thread of its own, which is another taker."""
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(call()))
    thread.start()
    thread.join()
    return answers[0]


def queued(redis: Any) -> list[str]:
    """In the order in which they will be taken."""
    messages: list[str] = redis.lrange(NAMES.send_queue, 0, -1)
    return messages[::-1]


def in_ms(milliseconds: float) -> datetime:
    return datetime.now(UTC).replace(tzinfo=None) + timedelta(milliseconds=milliseconds)


def test_messages_are_taken_in_order_and_are_gone_when_done(redis: Any) -> None:
    store = storage(redis)
    for key in "ab":
        store.enqueue(message(key))
    assert store.dequeue() == message("a")
    store.done(message("a"))
    assert store.dequeue() == message("b")
    store.done(message("b"))
    assert redis.keys("*queue*") == [NAMES.send_queue_takers]


def test_what_is_in_a_thread_s_hands_is_taken_again_by_it(redis: Any) -> None:
    """The connection was lost with the answer, or before the message could be put down."""
    store = storage(redis)
    store.enqueue(message("a"))
    store.enqueue(message("b"))
    assert [store.dequeue(), store.dequeue()] == [message("a")] * 2
    assert in_thread(store.dequeue) == message("b")
    assert store.redeliveries(message("a")) == 0


def test_what_is_put_off_comes_at_its_time(redis: Any) -> None:
    store = storage(redis)
    store.enqueue(message("a"))
    assert store.dequeue() == message("a")
    store.add_to_schedule(message("a"), in_ms(150))
    assert store.schedule_size() == 1
    started = time.monotonic()
    while (taken := store.dequeue()) is None:
        assert time.monotonic() - started < 30
    assert taken == message("a")
    assert store.schedule_size() == 0


def test_a_send_that_is_put_off_twice_is_one(redis: Any) -> None:
    store = storage(redis)
    for _ in range(2):
        store.enqueue(message("a"))
        store.dequeue()
        store.add_to_schedule(message("a"), in_ms(60_000))
    assert store.schedule_size() == 1


def test_what_a_dead_worker_had_in_its_hands_comes_back_first(redis: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    dead, alive = storage(redis, "i1"), storage(redis, "i2")
    for key in "abc":
        dead.enqueue(message(key))
    dead.dequeue()
    in_thread(dead.dequeue)
    alive.sign()
    assert queued(redis) == [message_of("c")]  # it may be alive
    monkeypatch.setattr(send_queue, "DEAD_AFTER_S", 0.0)
    time.sleep(0.01)  # by Redis' clock
    alive.sign()
    assert sorted(queued(redis)[:2]) == [message_of("a"), message_of("b")]
    assert queued(redis)[2] == message_of("c")
    assert alive.redeliveries(message("a")) == 1
    assert alive.redeliveries(message("c")) == 0


def test_the_next_worker_of_a_container_does_not_wait_for_that(redis: Any) -> None:
    dead = storage(redis, "i1")
    dead.enqueue(message("a"))
    dead.dequeue()
    neighbour = storage(redis, "i10")
    neighbour.enqueue(message("b"))
    neighbour.dequeue()
    assert storage(redis, "i1").dequeue() == message("a")
    assert queued(redis) == []


def test_a_worker_that_leaves_gives_back_what_it_has_and_that_does_not_count(redis: Any) -> None:
    leaving = storage(redis, "i1")
    leaving.enqueue(message("a"))
    leaving.dequeue()
    leaving.leave()
    other = storage(redis, "i2")
    assert other.dequeue() == message("a")
    assert other.redeliveries(message("a")) == 0


def test_what_a_leaving_worker_still_gets_is_not_lost(redis: Any) -> None:
    leaving = storage(redis, "i1")
    leaving.dequeue()
    taken_into = NAMES.send_queue_taken(redis.zrange(NAMES.send_queue_takers, 0, -1)[0])
    leaving.leave()
    redis.lpush(taken_into, message_of("a"))  # by a thread that waited for one, in the process's last moment
    assert storage(redis, "i1").dequeue() == message("a")


def test_what_was_carried_counts_no_deaths_any_more(redis: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    dead = storage(redis, "i1")
    dead.enqueue(message("a"))
    dead.dequeue()
    store = storage(redis, "i1")
    store.dequeue()
    assert store.redeliveries(message("a")) == 1
    store.add_to_schedule(message("a"), in_ms(60_000))
    assert store.redeliveries(message("a")) == 0


# -- Huey on it ------------------------------------------------------------------------------------------------------


def carried(redis: Any, carry: Callable[[str, int], float | None]) -> SendQueue:
    queue = SendQueue(redis, NAMES, "i1")
    queue.carries_with(carry)
    return queue


def step(queue: SendQueue) -> None:
    task = queue.dequeue()
    if task is not None:
        queue.execute(task)


def test_a_send_is_carried_until_it_has_its_end(redis: Any) -> None:
    waits: list[float | None] = [0.0, 0.01, None]
    seen: list[tuple[str, int]] = []

    def carry(key: str, redeliveries: int) -> float | None:
        seen.append((key, redeliveries))
        return waits.pop(0)

    queue = carried(redis, carry)
    redis.lpush(NAMES.send_queue, message_of("a"))
    while waits:
        step(queue)
    assert seen == [("a", 0)] * 3
    assert redis.keys("*queue*") == [NAMES.send_queue_takers]


def test_a_bug_costs_no_send(redis: Any) -> None:
    def carry(_key: str, _redeliveries: int) -> float | None:
        raise RuntimeError("a bug")

    queue = carried(redis, carry)
    redis.lpush(NAMES.send_queue, message_of("a"))
    step(queue)
    assert redis.zrange(NAMES.send_queue_due, 0, -1) == [message_of("a")]


def test_an_outage_leaves_the_send_in_hand(redis: Any) -> None:
    outcomes: list[Any] = [ConnectionError("away"), None]

    def carry(_key: str, _redeliveries: int) -> float | None:
        if isinstance(outcome := outcomes.pop(0), Exception):
            raise outcome
        return None

    queue = carried(redis, carry)
    redis.lpush(NAMES.send_queue, message_of("a"))
    step(queue)
    step(queue)
    assert outcomes == []
    assert redis.keys("*queue*") == [NAMES.send_queue_takers]


@pytest.mark.parametrize("skew_s", [-60, 60])
def test_a_worker_s_clock_moves_no_send(redis: Any, monkeypatch: pytest.MonkeyPatch, skew_s: float) -> None:
    queue = carried(redis, lambda _key, _redeliveries: 5.0)
    redis.lpush(NAMES.send_queue, message_of("a"))
    real = huey.utils.utcnow
    monkeypatch.setattr(huey.utils, "utcnow", lambda: real() + timedelta(seconds=skew_s))
    before = time.time()
    step(queue)
    after = time.time()
    ((_message, due_at),) = redis.zrange(NAMES.send_queue_due, 0, -1, withscores=True)
    assert before + 4 < due_at < after + 6


def test_what_is_no_send_is_dropped(redis: Any) -> None:
    queue = carried(redis, lambda _key, _redeliveries: None)
    redis.lpush(NAMES.send_queue, "a pickle, say")
    assert queue.dequeue() is None
    assert redis.keys("*queue*") == [NAMES.send_queue_takers]


# -- the carrier -----------------------------------------------------------------------------------------------------


class Agent:
    """AgentClient, as far as the carrier uses it."""

    def __init__(self, *answers: BaseModel | ContractError) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []

    def call(self, name: str, args: dict[str, Any]) -> BaseModel:
        assert name == "carry_send"
        self.asked.append(args)
        answer = self.answers.pop(0)
        if isinstance(answer, ContractError):
            raise answer
        return answer


def carrier(agent: Agent, waiting: int = 0) -> Carrier:
    return Carrier(agent, lambda: waiting)  # type: ignore[arg-type]


def test_the_agent_says_when_it_is_to_be_asked_again() -> None:
    agent = Agent(CarrySendResult(done=False, retry_in_s=3.5), CarrySendResult(done=True, retry_in_s=None))
    made = carrier(agent)
    assert made.carry("a", 0) == 3.5
    assert made.carry("a", 0) is None
    assert agent.asked == [{"idempotency_key": "a"}] * 2


def test_an_agent_that_cannot_be_asked_is_asked_later_and_later() -> None:
    made = carrier(Agent(*[AgentUnreachable("nobody")] * 30))
    waits = [made.carry("a", 0) or 0.0 for _ in range(30)]
    assert waits[0] < 1
    assert max(waits) <= 15 * 1.2
    assert min(waits[10:]) >= 15 * 0.8


def test_the_more_sends_wait_the_later_each_asks() -> None:
    assert (carrier(Agent(AgentUnreachable("nobody")), waiting=2000).carry("a", 0) or 0) > 100


def test_a_send_over_which_workers_die_is_given_up() -> None:
    agent = Agent(CarrySendResult(done=True, retry_in_s=None))
    assert carrier(agent).carry("a", 6) is None
    assert agent.asked == [{"idempotency_key": "a", "give_up": "internal"}]


def test_a_key_that_can_be_none_is_dropped() -> None:
    assert carrier(Agent(BadArguments("idempotency_key"))).carry("a b", 0) is None
