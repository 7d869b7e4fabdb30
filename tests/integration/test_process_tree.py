"""Nothing of a former browser is left, whatever its processes did to get away; and nothing else is touched."""

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from browser_agent.process_tree import TreeMemory, end_all, marked, memory_of, processes_of
from browser_agent.whatsapp.chromium import open_chromium
from browser_agent.whatsapp.executable import find_executable
from tests.harness.waiting import wait_until

# What a child does that wants to outlive its parents: a session of its own, no signal but SIGKILL, and a parent that
# is gone. It tells its number in a file.
FUGITIVE = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
os.setsid()
if os.fork():
    os._exit(0)
with open(sys.argv[1] + ".new", "w") as file:
    file.write(str(os.getpid()))
os.rename(sys.argv[1] + ".new", sys.argv[1])
time.sleep(60)
"""

Flee = Callable[..., psutil.Process]


@pytest.fixture
def flee(tmp_path: Path) -> Iterator[Flee]:
    """Starts a fugitive with this environment and these arguments; ends it after the test."""
    fled: list[psutil.Process] = []

    def start(environ: dict[str, str], *arguments: str) -> psutil.Process:
        told = tmp_path / f"fugitive-{len(fled)}"
        command = [sys.executable, "-S", "-c", FUGITIVE, str(told), *arguments]
        subprocess.run(command, env={**os.environ, **environ}, check=True, timeout=30)
        pid = int(wait_until(lambda: told.exists() and told.read_text(), 20, "it has fled"))
        fled.append(psutil.Process(pid))
        return fled[-1]

    yield start
    for process in fled:
        if process.is_running():
            process.kill()


def is_gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_child_that_made_a_session_of_its_own_and_lost_its_parents_is_found_by_what_it_inherited(
    tmp_path: Path, flee: Flee
) -> None:
    profile = tmp_path / "profile"
    fugitive = flee(marked(profile))
    fugitive.send_signal(signal.SIGTERM)
    assert [process.pid for process in processes_of(profile)] == [fugitive.pid]
    assert end_all(profile) == 1
    assert is_gone(fugitive)
    assert processes_of(profile) == []


def test_a_crash_handler_is_found_by_its_database(tmp_path: Path, flee: Flee) -> None:
    profile = tmp_path / "profile"
    handler = flee({}, f"--database={profile}/Crash Reports")
    assert end_all(profile) == 1
    assert is_gone(handler)


async def test_chromium_s_own_processes_are_found_though_their_environment_is_overwritten(tmp_path: Path) -> None:
    profile = tmp_path / "profile"
    async with open_chromium(find_executable(None), profile, sandbox=False) as chromium:
        children = psutil.Process(chromium.pid).children(recursive=True)
        os.kill(chromium.pid, signal.SIGSTOP)  # so that it does not tell them to end, and they are all alone
        living = [child for child in children if not is_gone(child)]  # some come and go while it starts
        found = {process.pid for process in processes_of(profile)}
        living = [child for child in living if not is_gone(child)]
        assert living
        assert {child.pid for child in living} <= found
        assert end_all(profile, within_s=20) >= 1
        assert all(map(is_gone, children))


def test_what_is_another_profile_s_is_left_alone(tmp_path: Path, flee: Flee) -> None:
    profile = tmp_path / "profile"
    others = [
        flee(marked(tmp_path / "profile-2")),
        flee(marked(profile / "Default")),
        flee({}, f"--user-data-dir={profile}-2"),
        flee({}, f"--user-data-dir={profile}/nested"),
        flee({}, str(profile)),
        flee({"OTHER": str(profile)}),
    ]
    assert end_all(profile) == 0
    assert not any(is_gone(other) for other in others)


def in_a_mount_namespace_of_its_own() -> list[str]:
    """What comes before a command to run it so, as a container would."""
    prefix = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*prefix, "true"], stderr=subprocess.DEVNULL, check=False).returncode:
        pytest.skip("this machine gives no mount namespace")
    return prefix


@pytest.mark.parametrize("by", ["environment", "arguments"])
def test_another_container_s_browser_on_the_same_path_is_left_alone(tmp_path: Path, by: str) -> None:
    profile = tmp_path / "profile"
    theirs = [*in_a_mount_namespace_of_its_own(), sys.executable, "-S", "-c", "import time; time.sleep(60)"]
    if by == "arguments":
        theirs.append(f"--user-data-dir={profile}")
    environ = marked(profile) if by == "environment" else {}
    ours = subprocess.Popen(["sleep", "60"], env={**os.environ, **marked(profile)})
    with subprocess.Popen(theirs, env={**os.environ, **environ}) as browser:
        try:
            of_browser = Path(f"/proc/{browser.pid}/ns/mnt")
            wait_until(lambda: of_browser.readlink() != Path("/proc/self/ns/mnt").readlink(), 20, "it has its own")
            assert end_all(profile) == 1
            assert ours.wait(20) == -signal.SIGKILL
            assert browser.poll() is None
        finally:
            browser.kill()
            ours.kill()


# With what the kernel shields, as Chromium's setuid sandbox is; it says so when it is.
SHIELDED = """
import ctypes, sys, time
assert ctypes.CDLL(None).prctl(4, 0, 0, 0, 0) == 0  # PR_SET_DUMPABLE
print(flush=True)
time.sleep(60)
"""
# By a process that may not look behind that shield: root in a container has no CAP_SYS_PTRACE.
ENDS_ALL = """
import pathlib, sys
from browser_agent.process_tree import end_all
print(end_all(pathlib.Path(sys.argv[1])))
"""


def _without_ptrace() -> None:
    ctypes.CDLL(None).prctl(24, 19, 0, 0, 0)  # PR_CAPBSET_DROP, CAP_SYS_PTRACE; who is not root has it not anyway


def test_one_of_which_the_kernel_does_not_tell_whose_files_it_has_is_found(tmp_path: Path) -> None:
    profile = tmp_path / "profile"
    shielded = [sys.executable, "-S", "-c", SHIELDED, f"--user-data-dir={profile}"]
    with subprocess.Popen(shielded, stdout=subprocess.PIPE) as browser:
        try:
            assert browser.stdout is not None
            browser.stdout.readline()
            ends = [sys.executable, "-c", ENDS_ALL, str(profile)]
            ended = subprocess.run(ends, preexec_fn=_without_ptrace, capture_output=True, timeout=60, check=True)
            assert ended.stdout.strip() == b"1"
            assert browser.wait(20) == -signal.SIGKILL
        finally:
            browser.kill()


def test_one_that_its_sandbox_gave_another_root_is_found(tmp_path: Path) -> None:
    profile = tmp_path / "profile"
    script = "import os, sys, time; os.chroot(sys.argv[1]); time.sleep(60)"
    prefix = [] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user"]
    command = [*prefix, sys.executable, "-S", "-c", script, str(tmp_path)]
    with subprocess.Popen(command, env={**os.environ, **marked(profile)}) as sandboxed:
        root = Path(f"/proc/{sandboxed.pid}/root")
        wait_until(lambda: root.readlink() == tmp_path, 20, "it has another root")
        assert end_all(profile) == 1
        assert sandboxed.wait(20) == -signal.SIGKILL


def test_descendants_without_a_mark_are_found_below_one_that_has_it(tmp_path: Path) -> None:
    profile = tmp_path / "profile"
    script = "import subprocess, time; subprocess.Popen(['env', '-i', 'setsid', 'sleep', '60']); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-S", "-c", script], env={**os.environ, **marked(profile)}) as browser:
        wait_until(lambda: [p.name() for p in psutil.Process(browser.pid).children()] == ["sleep"], 20, "its child")
        child = psutil.Process(browser.pid).children()[0]
        assert end_all(profile) == 2
        browser.wait(20)
    assert is_gone(child)


# Starts another every now and then, in a session of its own, and ends some time later: longer than a look at all
# processes of a busy machine takes. For fifteen seconds in all, whatever becomes of the test.
CHAIN = """
import os, sys, time
for link in range(60):
    time.sleep(0.2)
    if os.fork():
        time.sleep(3)
        os._exit(0)
    os.setsid()
"""


def test_one_that_keeps_starting_others_is_ended_with_the_last(tmp_path: Path) -> None:
    profile = tmp_path / "profile"
    chain, environ = [sys.executable, "-S", "-c", CHAIN], {**os.environ, **marked(profile)}
    for first in [subprocess.Popen(chain, env=environ) for _ in range(4)]:  # so that one starts another just then
        first.wait(20)
    assert end_all(profile, within_s=6) >= 1
    time.sleep(0.8)  # whoever was missed has started another by now
    assert processes_of(profile) == []


def test_a_zombie_is_over_and_a_child_of_ours_stays_ours_to_reap(tmp_path: Path) -> None:
    profile = tmp_path / "profile"
    with subprocess.Popen(["sleep", "60"], env={**os.environ, **marked(profile)}) as child:
        wait_until(lambda: processes_of(profile), 20, "it runs")
        started = time.monotonic()
        assert end_all(profile, within_s=60) == 1
        assert time.monotonic() - started < 30
        assert processes_of(profile) == []
        assert child.wait(20) == -signal.SIGKILL  # not lost to another waitpid


async def test_the_memory_of_all_processes_is_told(tmp_path: Path) -> None:
    profile = tmp_path / "profile"
    assert memory_of(profile) is None
    async with open_chromium(find_executable(None), profile, sandbox=False) as chromium:

        def whole() -> TreeMemory | None:
            memory, tree = memory_of(profile), [psutil.Process(chromium.pid)]
            tree += tree[0].children(recursive=True)
            living = [process for process in tree if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
            return memory if memory and memory.processes >= len(living) else None  # crash handlers left it

        memory = await asyncio.to_thread(wait_until, whole, 30, "all are measured: some come and go while it starts")
        assert memory is not None
        main = psutil.Process(chromium.pid).memory_info()
        assert memory.bytes > main.rss - main.shared
    assert memory_of(profile) is None
