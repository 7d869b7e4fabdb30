"""The entry point's process: whoever lost its parents below it is ended with the service."""

import json
import signal
import subprocess
import sys

import psutil

from tests.harness.waiting import wait_until

# Two orphans come to it: one that is deaf to SIGTERM, in a session of its own, and one that is frozen. Both tell
# nothing of whose they are.
OWNER = """
import json, os, signal, subprocess, sys, time
from cli.orphans import become_subreaper, end_orphans

become_subreaper()
deaf = "import os, signal, time; signal.signal(15, signal.SIG_IGN); print(os.getpid(), flush=True); time.sleep(60)"
frozen = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
pids = []
for script in (deaf, frozen):
    command = ["env", "-i", "setsid", sys.executable, "-S", "-c", script]
    parent = f"import subprocess; subprocess.Popen({command!r})"
    started = subprocess.Popen([sys.executable, "-S", "-c", parent], stdout=subprocess.PIPE)
    pids.append(int(started.stdout.readline()))
    started.wait()
os.kill(pids[1], signal.SIGSTOP)
print(json.dumps(pids), flush=True)
sys.stdin.readline()
started = time.monotonic()
end_orphans()
print(json.dumps(time.monotonic() - started), flush=True)
sys.stdin.readline()
"""


def test_orphans_are_ended_and_reaped_with_the_service_in_time() -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        assert owner.stdin is not None
        assert owner.stdout is not None
        orphans = [psutil.Process(pid) for pid in json.loads(owner.stdout.readline())]
        wait_until(lambda: all(orphan.ppid() == owner.pid for orphan in orphans), 20, "they have come to it")
        orphans[0].send_signal(signal.SIGTERM)
        assert all(orphan.is_running() for orphan in orphans)
        owner.stdin.write(b"\n")
        owner.stdin.flush()
        took_s = json.loads(owner.stdout.readline())
        assert not any(psutil.pid_exists(orphan.pid) and orphan.is_running() for orphan in orphans)
        assert took_s < 8  # a container is given ten seconds
        owner.stdin.close()


# A wrapper's job, there before; a child of ours that tells what it was asked to, and one that ignores it.
WRAPPED = """
import json, subprocess, sys
from cli import orphans
from cli.orphans import children, end_orphans

orphans.END_WITHIN_S = 4  # whoever answers is not to be killed for being slow

def start(script):
    child = subprocess.Popen([sys.executable, "-S", "-c", script], stdout=subprocess.PIPE)
    child.stdout.readline()
    return child

wait = "import time; print(flush=True); time.sleep(60)"
with_a_child = "import subprocess, sys; subprocess.Popen(['sleep', '60']); " + wait
there_before = [start(wait), start(with_a_child)]
spared = children()
polite = start("import signal, sys; signal.signal(15, lambda *_: (print('asked'), sys.exit())); " + wait)
deaf = start("import signal; signal.signal(15, signal.SIG_IGN); " + wait)
print(json.dumps([child.pid for child in there_before]), flush=True)
end_orphans(spared)
ended = [child.stdout.read().decode().strip() for child in (polite, deaf)]
print(json.dumps(ended + [child.poll() for child in there_before]), flush=True)
sys.stdin.readline()
"""


def test_who_was_there_before_is_spared_and_the_others_are_asked_first() -> None:
    with subprocess.Popen([sys.executable, "-c", WRAPPED], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        assert owner.stdin is not None
        assert owner.stdout is not None
        there_before = [psutil.Process(pid) for pid in json.loads(owner.stdout.readline())]
        below = there_before[1].children()
        assert [child.name() for child in below] == ["sleep"]
        try:
            assert json.loads(owner.stdout.readline()) == ["asked", "", None, None]
            assert all(child.is_running() for child in below)
        finally:
            for process in (*there_before, *below):
                process.kill()
            owner.stdin.close()
