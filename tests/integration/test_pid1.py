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
from cli.pid1 import become_subreaper, end_orphans

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
        wait_until(lambda: all(orphan.ppid() == owner.pid for orphan in orphans), 5, "they have come to it")
        orphans[0].send_signal(signal.SIGTERM)
        assert all(orphan.is_running() for orphan in orphans)
        owner.stdin.write(b"\n")
        owner.stdin.flush()
        took_s = json.loads(owner.stdout.readline())
        assert not any(psutil.pid_exists(orphan.pid) and orphan.is_running() for orphan in orphans)
        assert took_s < 3
        owner.stdin.close()
