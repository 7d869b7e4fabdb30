"""The faults, each from outside the service, and how each ends where it does not end by itself."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import redis

from tests.harness.waiting import wait_until
from tests.whatsapp_web.devtools import DevTools, targets

from .bench import Bench

Fault = Callable[[Bench], None]

# Withheld from wa-js: without it no message can be heard or sent.
MISSING_MODULES = ["WAWebMsgCollection", "WAWebSendMsgChatAction"]
EATS_MEMORY = "{const kept = []; for (;;) kept.push(Array.from({length: 100000}, (_, number) => ({number})));}"
MEMORY_LEFT_BYTES = 150 * 1024 * 1024


# -- processes -------------------------------------------------------------------------------------------------------


def send(program: str, *signals: signal.Signals) -> Fault:
    """Send signals to a program of supervisord's."""

    def fault(bench: Bench) -> None:
        pid = bench.pid(program)
        for sig in signals:
            os.kill(pid, sig)

    return fault


def send_browser(sig: signal.Signals) -> Fault:
    """To the browser's main process."""
    return lambda bench: os.kill(bench.browser_pid(), sig)


def send_renderers(sig: signal.Signals) -> Fault:
    return _send_parts("--type=renderer", sig)


def send_network(sig: signal.Signals) -> Fault:
    """To the browser's process that makes all its connections."""
    return _send_parts("--utility-sub-type=network.mojom.NetworkService", sig)


def _send_parts(argument: str, sig: signal.Signals) -> Fault:
    def fault(bench: Bench) -> None:
        parts = bench.browser_parts(argument)
        assert parts
        for part in parts:
            part.send_signal(sig)

    return fault


def freeze_supervisor_and_agent(bench: Bench) -> None:
    """The agent is to be restarted, and nobody is there to do it."""
    os.kill(bench.pid("browser-agent"), signal.SIGSTOP)
    os.kill(bench.service.pid, signal.SIGSTOP)


def freeze_supervisor(bench: Bench) -> None:
    os.kill(bench.service.pid, signal.SIGSTOP)


def thaw_supervisor(bench: Bench) -> None:
    os.kill(bench.service.pid, signal.SIGCONT)


def fall_asleep(bench: Bench) -> None:
    """As when a laptop's lid is closed."""
    for process in bench.processes():
        with contextlib.suppress(psutil.Error):
            process.suspend()


def wake_up(bench: Bench) -> None:
    for process in bench.processes():
        with contextlib.suppress(psutil.Error):
            process.resume()


# -- the page --------------------------------------------------------------------------------------------------------


def crash_page(bench: Bench) -> None:
    assert bench.whatsapp.crash_page(bench.devtools_port()) == 1


def busy_page(bench: Bench) -> None:
    bench.whatsapp.busy_loop(600_000)


def slow_page(bench: Bench) -> None:
    """Busy for nine tenths of a minute, a second and a half at a time."""
    bench.whatsapp.slow_page(busy_ms=1500, every_ms=1650, for_ms=60_000)


def very_slow_page(bench: Bench) -> None:
    """Busy for longer than a check waits, again and again: many are not answered in time."""
    bench.whatsapp.slow_page(busy_ms=3000, every_ms=3500, for_ms=60_000)


def deafen_page(bench: Bench) -> None:
    bench.whatsapp.deafen()


def exhaust_page(bench: Bench) -> None:
    """The page asks for ever more memory, and the machine has only a little left for its process."""
    for renderer in bench.browser_parts("--type=renderer"):
        most = _data_bytes(renderer) + MEMORY_LEFT_BYTES
        renderer.rlimit(resource.RLIMIT_DATA, (most, most))
    _in_page(bench, lambda devtools: devtools.post("Runtime.evaluate", expression=EATS_MEMORY))


def navigate_away(bench: Bench) -> None:
    _in_page(bench, lambda devtools: devtools.call("Page.navigate", url="about:blank"))


def hide_modules(bench: Bench) -> None:
    """The next build of the site lacks what wa-js looks for; the page is loaded anew by a new browser."""
    bench.whatsapp.set_options(hide=MISSING_MODULES)
    os.kill(bench.browser_pid(), signal.SIGKILL)


def hide_loader(bench: Bench) -> None:
    """The next build of the site has a module system that wa-js does not know."""
    bench.whatsapp.set_options(hide_loader=True)
    os.kill(bench.browser_pid(), signal.SIGKILL)


def show_modules(bench: Bench) -> None:
    """The site is mended, and a person has the page loaded anew."""
    bench.whatsapp.set_options(hide=[], hide_loader=False)
    bench.service.client.call("reload", {"cause": "the person"}, reply_within_s=90)


def boot_badly(boot: str) -> Fault:
    """From the next load on the page never connects, or loads itself anew instead; a new browser loads it."""

    def fault(bench: Bench) -> None:
        bench.whatsapp.set_options(boot=boot)
        os.kill(bench.browser_pid(), signal.SIGKILL)

    return fault


def boot_again(bench: Bench) -> None:
    bench.whatsapp.set_options(boot="normal")


# -- the link and the account ----------------------------------------------------------------------------------------


def drop_link(bench: Bench) -> None:
    bench.whatsapp.drop()


def restore_link(bench: Bench) -> None:
    bench.whatsapp.restore()


def half_open_link(bench: Bench) -> None:
    bench.whatsapp.half_open()


def flap_link(bench: Bench) -> None:
    """Up for two seconds and down for one, ten times."""
    for number in range(10):
        bench.whatsapp.drop(refuse_s=1)
        bench.deliver(f"while flapping {number}")
        time.sleep(3)


def slow_link(bench: Bench) -> None:
    bench.whatsapp.slow(1.5)


def conflict_once(bench: Bench) -> None:
    bench.whatsapp.conflict()


def shut_out(state: str, after_s: float = 0.0) -> Fault:
    return lambda bench: bench.whatsapp.shut_out(state, after_s)


def let_in(bench: Bench) -> None:
    """What shut the account out is over, and a person has the page loaded anew."""
    bench.whatsapp.restore()
    bench.service.client.call("reload", {"cause": "the person"}, reply_within_s=90)


def log_out(bench: Bench) -> None:
    assert bench.whatsapp.log_out_from_phone() == 1


def scan(bench: Bench) -> None:
    bench.whatsapp.scan(bench.whatsapp.code_on_show())


# -- Redis -----------------------------------------------------------------------------------------------------------


def lose_subscriptions(bench: Bench) -> None:
    assert bench.service.redis.client_kill_filter(_type="pubsub")


def fill_redis(bench: Bench) -> None:
    bench.service.redis.config_set("maxmemory-policy", "noeviction")
    bench.service.redis.config_set("maxmemory", "1")


def give_redis_room(bench: Bench) -> None:
    bench.service.redis.config_set("maxmemory", "0")


def empty_redis(bench: Bench) -> None:
    """Its file is gone when it starts again."""
    (folder,) = bench.service.data_dir.rglob("appendonlydir")
    shutil.rmtree(folder)
    _end_redis(bench)


def kill_redis(bench: Bench) -> None:
    time.sleep(1.1)  # its file is synced every second
    _end_redis(bench)


def freeze_redis(bench: Bench) -> None:
    os.kill(bench.pid("redis"), signal.SIGSTOP)


def thaw_redis(bench: Bench) -> None:
    os.kill(bench.pid("redis"), signal.SIGCONT)


# -- what the world can do -------------------------------------------------------------------------------------------


def world(act: str) -> Fault:
    """What only the bench's surroundings can do."""
    return lambda bench: bench.act[act]()


def forget_name(bench: Bench) -> None:
    """The site's name is not known any more, and a new browser, which has no memory of it, needs it."""
    bench.act["forget_name"]()
    os.kill(bench.browser_pid(), signal.SIGKILL)


def nothing(_: Bench) -> None:
    """No fault at all."""


def _end_redis(bench: Bench) -> None:
    former = bench.pid("redis")
    os.kill(former, signal.SIGKILL)
    wait_until(lambda: bench.service.pids().get("redis") not in (None, 0, former), 60, "another Redis")
    wait_until(partial(_answers, bench), 60, "it answers")


def _answers(bench: Bench) -> bool:
    try:
        return bool(bench.service.redis.ping())
    except (redis.exceptions.RedisError, OSError):
        return False


def _in_page(bench: Bench, act: Callable[[DevTools], object]) -> None:
    pages = [page for page in targets(bench.devtools_port()) if page["url"].startswith("http://")]
    assert pages
    for page in pages:
        with DevTools(page["webSocketDebuggerUrl"]) as devtools:
            act(devtools)


def _data_bytes(process: psutil.Process) -> int:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmData"))
    return int(line.split()[1]) * 1024
