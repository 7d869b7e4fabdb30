"""How much memory there is, and how much of it the browser may take."""

from pathlib import Path

import pytest

from browser_agent.container_memory import memory_at_most
from browser_agent.memory_relief import limit_bytes
from whatsapp_contract.settings import Settings, SettingsError


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
