"""Logs: one form for all, and no secret in them."""

import json
import subprocess
import sys

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
