"""Writes docs/asyncapi.yaml: the contract over Redis as an AsyncAPI 3.0 document, from the models that the service
itself checks by. `make contract` runs this; a test holds the file against it.

The service is the application: it receives commands, and sends replies and events. What no channel is (a key of Redis)
is written as one, with the kind of the key as `x-redis`.
"""

import configparser
from pathlib import Path
from typing import Any

import yaml

from tools import contract_examples
from tools.contract_schemas import Json, first_sentence, prose, schemas
from whatsapp_contract import command_errors
from whatsapp_contract.commands import COMMANDS, MAX_COMMAND_BYTES, REPLY_TTL_S, CommandSpec
from whatsapp_contract.event_script import rfc3339
from whatsapp_contract.events import EVENT_DATA, EventType
from whatsapp_contract.names import SESSION_ID_PATTERN, SessionNames
from whatsapp_contract.status import Status

REPOSITORY = Path(__file__).parents[1]
DOCUMENT = REPOSITORY / "docs/asyncapi.yaml"

_ABOUT = """
One session of WhatsApp Web, bridged to a backend. Commands are published as JSON on a channel; the reply to each lies
in a list of its own. Events are entries of a stream, each one field `event`, and are published on the channel of the
same name, there with the entry's id as `id`. Read the stream as a consumer group: see docs/events.md. Fields may be
added; a reader passes over what it does not know.
"""


def document() -> Json:
    """All of it."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "WhatsApp container, over Redis",
            "version": _version(),
            "description": prose(_ABOUT),
            "license": {"name": "proprietary"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "redis": {
                "host": "localhost:6379",
                "protocol": "redis",
                "description": "REDIS_URL, or REDIS_HOST and REDIS_PORT; `rediss` with TLS. Redis 6.2 or newer.",
            }
        },
        "channels": _channels(),
        "operations": _operations(),
        "components": {"messages": _messages(), "schemas": schemas()},
    }


def text() -> str:
    """The document as it is written."""
    head = "# Written by `make contract` from whatsapp_contract; do not edit.\n"
    written: str = yaml.dump(document(), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=118)
    return head + written


# -- channels --------------------------------------------------------------------------------------------------------


def _channels() -> Json:
    return {
        "commands": _channel(
            _address("commands"),
            "channel",
            f"JSON, at most {MAX_COMMAND_BYTES} bytes. PUBLISH answering 0 means that nobody listens. A bare word "
            "(`check`) is a command without reply.",
            [f"command.{name}" for name in COMMANDS],
        ),
        "replies": {
            **_channel(
                _address("replies"),
                "list",
                f"The reply to one command: BLPOP it. Expires after {REPLY_TTL_S} s.",
                [*(f"reply.{name}" for name in COMMANDS), "reply.error"],
            ),
            "x-expires-s": REPLY_TTL_S,
        },
        "eventStream": _channel(
            _address("events"),
            "stream",
            "Every event: XREADGROUP it. Each entry has one field, `event`.",
            [f"event.{kind}" for kind in EventType],
            "x-field",
            "event",
        ),
        "eventChannel": _channel(
            _address("events"),
            "channel",
            "Every event as it happens, with its entry's id as `id`, for who may miss some.",
            [f"event.{kind}" for kind in EventType],
        ),
        "status": _channel(_address("status"), "hash", "What the agent last said of itself: HGETALL it.", ["status"]),
        "qr": _channel(
            _address("qr"), "string", "The QR code that is now to be scanned: GET it. Expires with it.", ["qr"]
        ),
    }


def _channel(address: str, kind: str, description: str, messages: list[str], *more: str) -> Json:
    parameters: Json = {
        "session_id": {
            "description": f"WHATSAPP_SESSION_ID, {SESSION_ID_PATTERN}",
            "default": "shula-whatsapp",
        }
    }
    if "{command_id}" in address:
        parameters["command_id"] = {
            "description": "The command's own id.",
            "location": "$message.payload#/id",
        }
    return {
        "address": address,
        "description": description,
        "parameters": parameters,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "x-redis": kind,
        **dict(zip(more[::2], more[1::2], strict=True)),
    }


def _address(name: str) -> str:
    """As names.py has it, with places for what differs."""
    names = SessionNames("SESSION")
    found = names.replies("COMMAND") if name == "replies" else getattr(names, name)
    return str(found).replace("SESSION", "{session_id}").replace("COMMAND", "{command_id}")


# -- operations ------------------------------------------------------------------------------------------------------


def _operations() -> Json:
    operations: Json = {name: _command(spec) for name, spec in COMMANDS.items()}
    for name, channel, what in (
        ("tellEvents", "eventStream", "Events are added to the stream."),
        ("publishEvents", "eventChannel", "Events are published as they are added."),
        ("tellStatus", "status", "Every five seconds, and at every change."),
        ("showQr", "qr", "While a code can be scanned."),
    ):
        operations[name] = {
            "action": "send",
            "summary": what,
            "channel": {"$ref": f"#/channels/{channel}"},
        }
    return operations


def _command(spec: CommandSpec) -> Json:
    errors = (*command_errors.OF_EVERY_COMMAND, *command_errors.OF_COMMAND[spec.name])
    return {
        "action": "receive",
        "summary": first_sentence(spec.result.__doc__),
        "channel": {"$ref": "#/channels/commands"},
        "messages": [{"$ref": f"#/channels/commands/messages/command.{spec.name}"}],
        "reply": {
            "channel": {"$ref": "#/channels/replies"},
            "messages": [
                {"$ref": f"#/channels/replies/messages/reply.{spec.name}"},
                {"$ref": "#/channels/replies/messages/reply.error"},
            ],
        },
        "x-mutating": spec.mutating,
        "x-reply-within-s": spec.reply_within_s,
        "x-errors": sorted(kind.code for kind in errors),
    }


# -- messages --------------------------------------------------------------------------------------------------------


def _messages() -> Json:
    messages: Json = {}
    for name, spec in COMMANDS.items():
        messages[f"command.{name}"] = {
            "name": name,
            "payload": {"$ref": f"#/components/schemas/command.{name}"},
            "examples": [{"payload": _example_of(name)}],
        }
        messages[f"reply.{name}"] = {
            "name": f"{name}, done",
            "payload": {"$ref": f"#/components/schemas/reply.{name}"},
            "x-result": spec.result.__name__,
        }
    messages["reply.error"] = {
        "name": "any command, failed",
        "payload": {"$ref": "#/components/schemas/reply.error"},
    }
    for kind, model in EVENT_DATA.items():
        messages[f"event.{kind}"] = {
            "name": str(kind),
            "summary": first_sentence(model.__doc__),
            "payload": {"$ref": f"#/components/schemas/event.{kind}"},
            "examples": [{"payload": event_example(kind)}],
        }
    messages["status"] = {
        "name": "status",
        "summary": prose(Status.__doc__ or ""),
        "payload": {"$ref": "#/components/schemas/StatusHash"},
    }
    messages["qr"] = {"name": "qr", "payload": {"$ref": "#/components/schemas/QrOnShow"}}
    return messages


def _example_of(name: str) -> Json:
    args = contract_examples.ARGUMENTS.get(name, {})
    return {"id": contract_examples.COMMAND_ID, "name": name, "args": args}


def event_example(kind: EventType) -> Json:
    """A whole event, as it is read from the stream."""
    at = rfc3339(contract_examples.AT)
    return {
        "v": 1,
        "type": str(kind),
        "session_id": "shula-whatsapp",
        "epoch": 3,
        "seq": 41,
        "occurred_at": at,
        "observed_at": at,
        "data": contract_examples.EVENTS[kind].model_dump(mode="json"),
    }


# -- words -----------------------------------------------------------------------------------------------------------


def _version() -> str:
    setup = configparser.ConfigParser()
    setup.read(REPOSITORY / "setup.cfg")
    return setup["metadata"]["version"]


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]  # untyped
    """Without anchors: each part is written where it is."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


if __name__ == "__main__":
    DOCUMENT.write_text(text())
