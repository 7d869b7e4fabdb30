"""Structured logs: a constant sentence with facts as fields, as text or JSON lines on stdout; no secrets in them.

Everything that uses stdlib logging (Huey, uvicorn, redis) comes out in the same form.
"""

import logging
import re
import sys
import threading
from collections.abc import Iterable
from typing import Any

import structlog

from . import log_context

# Fields whose values are never shown, whoever logs them.
_SECRET_FIELDS = frozenset({"token", "password", "secret", "payload", "text", "qr", "phone", "authorization"})
# Phone numbers in addresses of WhatsApp, passwords in addresses of Redis, and the QR's own form.
# `_`, as in a message's key, is no word boundary; an old group's address is its maker's number and a time.
_PHONE = re.compile(r"(?<!\d)\d{6,15}(?=(?:[.:]\d+)*@(?:c\.us|s\.whatsapp\.net|lid)|-\d+@g\.us)")
# As people write them, with the sign that nothing else begins with.
_WRITTEN_PHONE = re.compile(r"\+\d(?:[\s().\u00a0-]{0,2}\d){6,14}(?!\d)")
_URL_PASSWORD = re.compile(r"(?<=://)([^\s/@:]*):[^\s/@]+(?=@)")
_HIDDEN = "[hidden]"

_OURS = ("whatsapp_contract", "browser_agent", "scheduler", "workers", "web", "webhooks", "cli", "__main__")


def configure(
    process: str,
    level: str = "INFO",
    log_format: str = "text",
    secrets: Iterable[str] = (),
    *,
    on_terminal: bool = False,
) -> None:
    """Call once, first thing in a process. `secrets` are values to hide wherever they turn up. `on_terminal` where it
    is known that a person reads this, though stdout is a pipe, as for all of supervisord's programs. What ends the
    process with a traceback comes out in the same form.
    """
    redact = _redactor(secrets)
    # structlog calls a processor with (logger, method, event).
    shared: list[Any] = [
        _of_process(process),
        log_context.add,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]
    if log_format == "json":
        last: Any = structlog.processors.JSONRenderer()
    else:
        colors = on_terminal or sys.stdout.isatty()
        last = structlog.dev.ConsoleRenderer(
            colors=colors, pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
        )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
        )
    )
    # Libraries tell what passes through them when they debug: codes, texts, numbers. Only we may be that talkative.
    logging.basicConfig(handlers=[handler], level=max(logging.INFO, logging.getLevelName(level)), force=True)
    for package in _OURS:
        logging.getLogger(package).setLevel(level)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    _tell_how_it_ends()


def _tell_how_it_ends() -> None:
    log = get_logger("whatsapp_contract.logs")

    def of_the_process(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        if issubclass(kind, Exception):
            log.critical("the process ends with a bug", exc_info=(kind, error, trace))
        else:  # Ctrl-C
            sys.__excepthook__(kind, error, trace)

    def of_a_thread(ended: threading.ExceptHookArgs) -> None:
        if ended.exc_value is not None:
            log.critical("a thread ended with a bug", exc_info=(ended.exc_type, ended.exc_value, ended.exc_traceback))

    sys.excepthook = of_the_process
    threading.excepthook = of_a_thread


def _of_process(process: str) -> Any:
    # Not bound to the context: that of a thread begins empty.
    def add(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
        return {"process": process, **event}

    return add


def get_logger(name: str) -> Any:
    """A structlog logger; `log.info("agent started", epoch=3)`."""
    return structlog.stdlib.get_logger(name)


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """What a log would show of it."""
    return str(_redactor(secrets).clean(text))


def _redactor(secrets: Iterable[str]) -> "_Redactor":
    return _Redactor([secret for secret in secrets if len(secret) >= 4])


class _Redactor:
    """Hides secret fields, known secrets, phone numbers and passwords in addresses."""

    def __init__(self, secrets: list[str]) -> None:
        self._secrets = sorted(secrets, key=len, reverse=True)  # one may be a part of another

    def __call__(self, _logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
        return {key: _HIDDEN if key in _SECRET_FIELDS else self.clean(value) for key, value in event.items()}

    def clean(self, value: Any) -> Any:
        if isinstance(value, (int, float, bool, type(None), logging.LogRecord)):
            return value
        text = value if isinstance(value, str) else str(value)
        for secret in self._secrets:
            text = text.replace(secret, _HIDDEN)
        text = _WRITTEN_PHONE.sub(_HIDDEN, _PHONE.sub(_HIDDEN, text))
        return _URL_PASSWORD.sub(rf"\1:{_HIDDEN}", text)
