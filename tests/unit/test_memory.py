"""When the browser's memory is won back, and how; and how much there is."""

import asyncio
from pathlib import Path

import pytest

from browser_agent.container_memory import memory_at_most
from browser_agent.memory_relief import limit_bytes
from browser_agent.memory_watch import MemoryWatch, Situation, Step, next_step
from browser_agent.process_tree import TreeMemory
from whatsapp_contract.errors import Busy, PageTimeout
from whatsapp_contract.settings import Settings, SettingsError

OVER = Situation(of_limit=1.05, samples_over=2, is_quiet=True)


def but(**changes: object) -> Situation:
    return Situation(**{**OVER.__dict__, **changes})


@pytest.mark.parametrize(
    ("situation", "step"),
    [
        # Two samples running, in a quiet moment.
        (OVER, "reload"),
        (but(samples_over=1), None),
        (but(of_limit=3.0, samples_over=1), None),
        (but(samples_over=0, of_limit=0.5), None),
        # The moment is waited for, but not for ever, and not where it is urgent.
        (but(is_quiet=False), None),
        (but(is_quiet=False, waited_s=299), None),
        (but(is_quiet=False, waited_s=300), "reload"),
        (but(is_quiet=False, of_limit=1.15), "reload"),
        # A reload has a minute to help.
        (but(reloaded_ago_s=59, cures_ago_s=(59,)), None),
        (but(reloaded_ago_s=59, cures_ago_s=(59,), of_limit=2.0), None),
        (but(reloaded_ago_s=60, cures_ago_s=(60,)), "restart_browser"),
        (but(reloaded_ago_s=60, cures_ago_s=(60,), samples_over=1), None),
        (but(reloaded_ago_s=60, cures_ago_s=(60,), is_quiet=False), None),
        (but(reloaded_ago_s=400, cures_ago_s=(400,), is_quiet=False, waited_s=300), "restart_browser"),
        # Not more often than every ten minutes, however bad it is.
        (but(cures_ago_s=(599,), of_limit=5.0), None),
        (but(cures_ago_s=(600,)), "reload"),
        # Three within an hour did not help: a person is told, once.
        (but(cures_ago_s=(3599, 2000, 700)), "alert"),
        (but(cures_ago_s=(3599, 2000, 700), alerted_ago_s=10), None),
        (but(cures_ago_s=(3599, 2000, 700), alerted_ago_s=3600), "alert"),
        (but(cures_ago_s=(3600, 2000, 700)), "reload"),
        (but(cures_ago_s=(3599, 2000, 70), reloaded_ago_s=70), "restart_browser"),
    ],
)
def test_the_next_step(situation: Situation, step: Step | None) -> None:
    assert next_step(situation) == step


class Rig:
    """A watch whose samples are given, and whose steps are written down."""

    def __init__(self, samples: list[int | None]) -> None:
        self.steps: list[Step] = []
        self.raises: Exception | None = None
        self.asked = asyncio.Event()
        self._samples = samples
        self.watch = MemoryWatch(1000, self._measure, lambda: True, self._take, every_s=0.001)

    def _measure(self) -> TreeMemory | None:
        sample = self._samples.pop(0) if len(self._samples) > 1 else self._samples[0]
        return None if sample is None else TreeMemory(sample, 3, is_exact=True)

    async def _take(self, step: Step) -> None:
        self.steps.append(step)
        self.asked.set()
        if self.raises is not None:
            raise self.raises

    async def until_steps(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.steps) < count:
                self.asked.clear()
                await self.asked.wait()


async def run_for_samples(rig: Rig, steps: int) -> None:
    running = asyncio.create_task(rig.watch.run())
    try:
        await rig.until_steps(steps)
    finally:
        running.cancel()
        await asyncio.wait([running])


async def test_what_was_seen_last_can_be_read() -> None:
    rig = Rig([700, 1100])
    assert (rig.watch.bytes, rig.watch.seen_at, rig.watch.limit_bytes) == (None, None, 1000)
    await run_for_samples(rig, 1)
    assert rig.steps == ["reload"]
    assert rig.watch.bytes == 1100
    assert rig.watch.seen_at == pytest.approx(asyncio.get_running_loop().time(), abs=2)


async def test_samples_of_another_browser_do_not_add_up() -> None:
    """One over the limit, no browser, one over the limit: that is not twice in a row."""
    rig = Rig([1100, None, 1100, 900, 1100, 900, 1100, None, 1200, 1200])
    await run_for_samples(rig, 1)
    assert rig.watch.bytes == 1200
    assert rig.steps == ["reload"]


async def test_an_operation_that_came_first_only_puts_it_off() -> None:
    rig = Rig([1100])
    rig.raises = Busy("backup is under way")
    await run_for_samples(rig, 3)
    assert rig.steps == ["reload"] * 3


async def test_a_step_that_failed_is_not_tried_over_and_over() -> None:
    rig = Rig([1100])
    rig.raises = PageTimeout("the page did not come back")
    running = asyncio.create_task(rig.watch.run())
    await rig.until_steps(1)
    seen_at = rig.watch.seen_at
    async with asyncio.timeout(5):
        while rig.watch.seen_at == seen_at or rig.watch.seen_at is None:  # it goes on sampling
            await asyncio.sleep(0.002)
    running.cancel()
    await asyncio.wait([running])
    assert rig.steps == ["reload"]


# -- how much there is ------------------------------------------------------------------------------------------------


def group(folder: Path, file: str, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file).write_text(text)


MACHINE = 16 * 2**30


def test_the_container_s_own_limit_is_found_in_both_versions(tmp_path: Path) -> None:
    own = tmp_path / "cgroup"
    own.write_text("0::/\n")
    group(tmp_path / "v2", "memory.max", "2147483648\n")
    assert memory_at_most(tmp_path / "v2", own, MACHINE) == 2147483648
    group(tmp_path / "v1" / "memory", "memory.limit_in_bytes", "1073741824\n")
    assert memory_at_most(tmp_path / "v1", own, MACHINE) == 1073741824


def test_no_limit_is_the_machine_s_memory(tmp_path: Path) -> None:
    own = tmp_path / "cgroup"
    own.write_text("0::/\n")
    assert memory_at_most(tmp_path / "none", tmp_path / "none", MACHINE) == MACHINE
    group(tmp_path / "v2", "memory.max", "max\n")
    assert memory_at_most(tmp_path / "v2", own, MACHINE) == MACHINE
    group(tmp_path / "v1" / "memory", "memory.limit_in_bytes", "9223372036854771712\n")
    assert memory_at_most(tmp_path / "v1", own, MACHINE) == MACHINE


def test_the_tightest_limit_on_the_way_to_our_own_group_counts(tmp_path: Path) -> None:
    own = tmp_path / "cgroup"
    own.write_text("4:memory:/outer/inner\n2:cpuacct,cpu:/else\n0::/\n")
    group(tmp_path / "memory", "memory.limit_in_bytes", "9223372036854771712\n")
    group(tmp_path / "memory" / "outer", "memory.limit_in_bytes", "500000000\n")
    group(tmp_path / "memory" / "outer" / "inner", "memory.limit_in_bytes", "800000000\n")
    group(tmp_path / "memory" / "other", "memory.limit_in_bytes", "100\n")
    assert memory_at_most(tmp_path, own, MACHINE) == 500000000


def test_the_limit_is_set_turned_off_or_most_of_what_there_is() -> None:
    def limit(**environ: str) -> int | None:
        return limit_bytes(Settings.from_env({"INSTANCE_ID": "i1", **environ}))

    assert limit(BROWSER_MEMORY_LIMIT_MB="800") == 800 * 1024 * 1024
    assert limit(BROWSER_MEMORY_LIMIT_MB="0") is None
    assert limit() == int(memory_at_most() * 0.75)


@pytest.mark.parametrize("value", ["199", "1", "-1", "much", "1e3"])
def test_a_limit_that_no_browser_can_keep_is_refused_by_its_name(value: str) -> None:
    with pytest.raises(SettingsError, match="BROWSER_MEMORY_LIMIT_MB") as refused:
        Settings.from_env({"INSTANCE_ID": "i1", "BROWSER_MEMORY_LIMIT_MB": value})
    if value == "199":
        assert "at least 200 MB" in str(refused.value)
