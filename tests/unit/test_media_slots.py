"""Who fetches next."""

import asyncio

from browser_agent.media.slots import Slots


class Order:
    """Runs what takes a slot, and notes the order in which they got it and how many were at it then. None is done
    before all are asked for."""

    def __init__(self, at_once: int) -> None:
        self.slots = Slots(at_once)
        self.got: list[tuple[float, int]] = []
        self.at_it = 0
        self.tasks: list[asyncio.Task[None]] = []
        self.may_end = asyncio.Event()

    def add(self, *sent_at: float, alone: bool = False) -> None:
        self.tasks += [asyncio.create_task(self._take(one, alone)) for one in sent_at]

    async def _take(self, sent_at: float, alone: bool) -> None:
        async with self.slots.taken(sent_at, alone=alone):
            self.at_it += 1
            self.got.append((sent_at, self.at_it))
            await self.may_end.wait()
            await asyncio.sleep(0)
            self.at_it -= 1

    async def all(self) -> list[float]:
        self.may_end.set()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        return [sent_at for sent_at, _ in self.got]


async def test_the_newest_and_the_oldest_get_it_in_turn() -> None:
    order = Order(1)
    order.add(0)
    await asyncio.sleep(0)
    order.add(1, 2, 3, 4, 5)
    assert await order.all() in ([0, 5, 1, 4, 2, 3], [0, 1, 5, 2, 4, 3])


async def test_no_more_than_so_many_at_once() -> None:
    order = Order(3)
    order.add(*range(20))
    assert len(await order.all()) == 20
    assert max(at_it for _, at_it in order.got) == 3


async def test_a_suspect_is_alone_and_last() -> None:
    order = Order(3)
    order.add(1, 2)
    await asyncio.sleep(0)
    order.add(100, 101, alone=True)
    await asyncio.sleep(0)
    order.add(3, 4, 5)
    got = await order.all()
    assert got[-2:] == [100, 101]
    assert [at_it for _, at_it in order.got[-2:]] == [1, 1]


async def test_one_that_gives_up_waiting_leaves_its_turn_to_the_next() -> None:
    order = Order(1)
    order.add(0, 1, 2, 3)
    order.add(9, alone=True)
    await asyncio.sleep(0)
    for task in order.tasks[1:3]:
        task.cancel()
    assert await order.all() == [0, 3, 9]
    order.add(10)
    assert await order.all() == [0, 3, 9, 10]


async def test_one_that_is_cancelled_in_the_moment_of_its_turn_gives_it_back() -> None:
    slots = Slots(1)
    released = asyncio.Event()

    async def hold() -> None:
        async with slots.taken(1):
            await released.wait()

    async def take() -> None:
        async with slots.taken(2):
            pass

    holding = asyncio.create_task(hold())
    await asyncio.sleep(0)
    waiting = asyncio.create_task(take())
    await asyncio.sleep(0)
    released.set()
    await asyncio.sleep(0)  # the turn is given, and not taken up yet
    waiting.cancel()
    await asyncio.gather(holding, waiting, return_exceptions=True)
    async with asyncio.timeout(30), slots.taken(3, alone=True):
        assert slots.waiting == 0
