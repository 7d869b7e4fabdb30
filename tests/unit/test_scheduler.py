"""Huey's scheduler by the second, on fakeredis: each tick once, missed ones dropped, clocks that jump survived."""

import threading
from datetime import UTC, datetime, timedelta

import fakeredis
import pytest
from huey import RedisExpireHuey

from scheduler.consumer import SecondScheduler
from scheduler.schedule import Entry
from whatsapp_contract.names import InstanceNames
from workers.cron import Cron

NAMES = InstanceNames("s1", "i1")


class Setting:
    """A queue on a Redis of its own, and schedulers whose clock the test sets."""

    def __init__(self) -> None:
        self.server = fakeredis.FakeServer()
        pool = fakeredis.FakeStrictRedis(server=self.server).connection_pool
        self.queue = RedisExpireHuey(NAMES.queue, results=False, connection_pool=pool)
        self.now = 1_800_000_000.0

        @self.queue.task(name="check")  # type: ignore[untyped-decorator]
        def check() -> None: ...

        self.entries = [Entry("check", Cron.parse("*/10 * * * * *"), check)]

    def scheduler(self) -> SecondScheduler:
        setting = self

        class Scheduler(SecondScheduler):
            names, entries = NAMES, self.entries

            def clock(self) -> float:
                return setting.now

        made = Scheduler(self.queue, _Skipping(self), interval=1, periodic=True)
        made.initialize()
        return made

    def ticks(self) -> list[int]:
        found = []
        while (task := self.queue.dequeue()) is not None:
            found.append(int(task.id.split(":")[1]) - 1_800_000_000)
        return found


class _Skipping(threading.Event):
    """A stop flag whose waiting moves the setting's clock instead of taking time."""

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self._setting = setting

    def wait(self, timeout: float | None = None) -> bool:
        self._setting.now += timeout or 0
        return False


@pytest.fixture
def setting() -> Setting:
    made = Setting()
    made.queue.storage.blocking = False
    return made


def run(scheduler: SecondScheduler, loops: int) -> None:
    for _ in range(loops):
        scheduler.loop()


def test_a_tick_on_each_tenth_second(setting: Setting) -> None:
    run(setting.scheduler(), 60)
    assert setting.ticks() == [10, 20, 30, 40, 50, 60]


def test_two_schedulers_by_mistake_still_give_one_run_per_tick(setting: Setting) -> None:
    first, second = setting.scheduler(), setting.scheduler()
    began = setting.now
    for n in range(30):
        for one in (first, second):
            setting.now = began + n
            one.loop()
    assert setting.ticks() == [10, 20, 30]


def test_a_tick_missed_while_down_is_dropped(setting: Setting) -> None:
    run(setting.scheduler(), 15)
    setting.now += 100
    run(setting.scheduler(), 10)
    assert setting.ticks() == [10, 120]


def test_a_stall_of_minutes_costs_its_ticks_and_one_of_seconds_none(setting: Setting) -> None:
    one = setting.scheduler()
    run(one, 8)
    setting.now += 3.5  # over the tick at 10
    run(one, 1)
    assert setting.ticks() == [10]
    setting.now += 124  # over many ticks, the last of them six seconds ago
    run(one, 1)
    assert setting.ticks() == []


def test_a_clock_set_back_an_hour_does_not_stop_the_ticks(setting: Setting) -> None:
    one = setting.scheduler()
    run(one, 25)
    assert setting.ticks() == [10, 20]
    setting.now -= 3600
    run(one, 20)
    assert len(setting.ticks()) == 2


def test_an_outage_of_redis_costs_its_ticks_and_nothing_else(setting: Setting) -> None:
    one = setting.scheduler()
    setting.server.connected = False
    run(one, 15)
    setting.server.connected = True
    run(one, 10)
    assert setting.ticks() == [20]


def test_a_delayed_task_whose_time_has_come_is_moved_to_the_queue(setting: Setting) -> None:
    task = setting.entries[0].task.s()
    task.eta = datetime.now(UTC).replace(tzinfo=None) - timedelta(seconds=5)  # Huey's own form
    setting.queue.add_schedule(task)
    run(setting.scheduler(), 1)
    assert setting.queue.dequeue() is not None
