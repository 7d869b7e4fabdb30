"""Logs: one form for all, and no secret in them."""

import json
import re
import subprocess
import sys

from whatsapp_contract.log_context import send_ref

SCRIPT = """
import logging, sys
from whatsapp_contract import logs
logs.configure("test", "INFO", sys.argv[1], secrets=["part-one", "s3cr3t-token", "s3cr3t-token,part-one"])
log = logs.get_logger("browser_agent.here")
log.info("session changed", state="ready", password="a", payload="2@qr", address="393331111111@c.us",
         url="redis://user:pa55@host:1/0", note="uses s3cr3t-token now", number=42)
logging.getLogger("a.library").warning("connected to redis://:pa55@host with 393331111111@s.whatsapp.net")
for address in ("true_120363000000000001@g.us_3EB0_393331111111@c.us", "393331111111-1612345678@g.us",
                "393331111111:12@c.us", "393331111111.0:12@s.whatsapp.net", "393331111111@lid", "x393331111111@c.us"):
    log.info("seen in " + address)
log.info("both", first="part-one", whole="s3cr3t-token,part-one")
log.debug("too fine")
try:
    raise ValueError("s3cr3t-token in a traceback")
except ValueError:
    log.exception("it failed")
"""


IN_A_THREAD = """
import threading
from whatsapp_contract import logs
logs.configure("test", "INFO", "json")
log = logs.get_logger("workers.here")
thread = threading.Thread(target=lambda: log.info("sends are carried again"))
thread.start()
thread.join()
"""


def test_a_thread_s_line_names_its_process_too() -> None:
    line = subprocess.run([sys.executable, "-c", IN_A_THREAD], check=True, capture_output=True, text=True).stdout
    assert json.loads(line)["process"] == "test"


DEBUGGING = """
import logging
from whatsapp_contract import logs
logs.configure("test", "DEBUG")
logs.get_logger("browser_agent.here").debug("ours may be told")
logging.getLogger("websockets.client").debug("< TEXT a private message")
logging.getLogger("websockets.client").info("opened")
"""


def test_libraries_do_not_debug_even_when_we_do() -> None:
    text = subprocess.run([sys.executable, "-c", DEBUGGING], check=True, capture_output=True, text=True).stdout
    assert "ours may be told" in text
    assert "opened" in text
    assert "private" not in text


def output(log_format: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, log_format], check=True, capture_output=True, text=True
    ).stdout


def test_no_secret_reaches_either_form() -> None:
    for log_format in ("text", "json"):
        text = output(log_format)
        for secret in ("s3cr3t", "pa55", "393331111111", "2@qr", "part-one"):
            assert secret not in text
        assert "120363000000000001@g.us" in text
        assert "too fine" not in text
        assert "ValueError" in text


def test_json_lines_carry_facts_as_fields_also_from_libraries() -> None:
    first, second, *_, third = (json.loads(line) for line in output("json").splitlines())
    assert first["event"] == "session changed"
    assert (first["state"], first["number"], first["level"], first["process"]) == ("ready", 42, "info", "test")
    assert first["timestamp"].endswith("Z")
    assert second["event"].startswith("connected to redis://:[hidden]@host")
    assert second["level"] == "warning"
    assert "Traceback" in third["exception"]


SHARED = """
import asyncio, threading
from whatsapp_contract import logs
from whatsapp_contract.log_context import bind, bound, during
logs.configure("test", "INFO", "json")
log = logs.get_logger("browser_agent.here")

async def command(name):
    bind(command=name, send=None)
    await asyncio.sleep(0)
    log.info("carried out")

async def main():
    async with asyncio.TaskGroup() as tasks:
        for name in ("one", "two"):
            tasks.create_task(command(name))
    with during(operation="reset", incident=None), bound(rung="first"):
        thread = threading.Thread(target=lambda: log.info("in a thread", operation="its own"))
        thread.start()
        thread.join()
        log.info("within")
        with during(operation="inner"):
            log.info("deeper")
        log.info("within again")
    log.info("after")

asyncio.run(main())
"""


def told(script: str, *arguments: str) -> list[dict[str, object]]:
    done = subprocess.run([sys.executable, "-c", script, *arguments], check=False, capture_output=True, text=True)
    assert done.stderr == ""
    facts = [json.loads(line) for line in done.stdout.splitlines()]
    return [{name: value for name, value in line.items() if name not in ("timestamp", "level")} for line in facts]


def test_lines_say_what_they_belong_to_and_no_others() -> None:
    assert told(SHARED) == [
        {"event": "carried out", "process": "test", "command": "one"},
        {"event": "carried out", "process": "test", "command": "two"},
        {"event": "in a thread", "process": "test", "operation": "its own"},
        {"event": "within", "process": "test", "operation": "reset", "rung": "first"},
        {"event": "deeper", "process": "test", "operation": "inner", "rung": "first"},
        {"event": "within again", "process": "test", "operation": "reset", "rung": "first"},
        {"event": "after", "process": "test"},
    ]


UNCAUGHT = """
import sys, threading
from pydantic import BaseModel
from whatsapp_contract import logs
from whatsapp_contract.events import MessageData
logs.configure("test", "INFO", "json", secrets=["s3cr3t-token"])
def fail(*_):
    MessageData.model_validate({"text": 393331111111, "surprise": "a private message"})
thread = threading.Thread(target=fail)
thread.start()
thread.join()
raise ValueError("s3cr3t-token")
"""


def test_what_ends_a_process_or_a_thread_is_a_line_like_the_others() -> None:
    of_thread, of_process = told(UNCAUGHT)
    assert of_thread["event"] == "a thread ended with a bug"
    assert "ValidationError" in str(of_thread["exception"])
    assert "393331111111" not in str(of_thread)
    assert "private" not in str(of_thread).replace('"surprise": "a private message"})', "")  # our own source
    assert of_process["event"] == "the process ends with a bug"
    assert str(of_process["exception"]).endswith("ValueError: [hidden]")


WRITTEN = """
import sys
from whatsapp_contract import logs
logs.configure("test", "INFO", "json")
for cause in sys.argv[1:]:
    logs.get_logger("workers.here").info("done", cause=cause)
"""


def test_numbers_as_people_write_them_are_hidden_and_times_are_not() -> None:
    no_numbers = ["at 2026-11-23T19:34:33+00:00 of 1795945498305-0", "+3 of 12"]
    causes = [line["cause"] for line in told(WRITTEN, "asked by +39 333 111-1111", "+49(170)5550199", *no_numbers)]
    assert causes == ["asked by [hidden]", "[hidden]", *no_numbers]


ON_TERMINAL = """
import sys
from whatsapp_contract import logs
logs.configure("test", on_terminal=sys.argv[1] == "yes")
logs.get_logger("web.here").info("hello", number=1)
"""


def test_colour_is_for_a_terminal_alone() -> None:
    def text(on_terminal: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", ON_TERMINAL, on_terminal], check=True, capture_output=True, text=True
        ).stdout

    assert "\033[" in text("yes")
    assert "\033[" not in text("no")
    assert "hello" in text("no")


def test_a_send_in_the_log_is_the_same_everywhere_and_gives_no_number_away() -> None:
    numbers = {f"39333{number:07}" for number in range(200_000)}
    assert re.fullmatch(r"[0-9a-f]{6}", send_ref("photos-of-anna-1"))
    assert send_ref("393331111111") == send_ref("393331111111")
    # So many of a country's numbers have one in common that none is told by it.
    assert len({send_ref(number) for number in numbers}) < len(numbers)
