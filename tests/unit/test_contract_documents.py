"""docs/asyncapi.yaml is what the code says, and what it says is true of what goes over Redis."""

import json
from datetime import UTC, datetime
from typing import Any

import jsonschema
import pytest
import yaml
from jsonschema.validators import validator_for

from browser_agent.handlers import HANDLERS
from tools import asyncapi, contract_examples
from whatsapp_contract import command_errors, commands
from whatsapp_contract.commands import COMMANDS, parse_args, parse_command
from whatsapp_contract.errors import BadArguments, Busy, ContractError, NotFound, Refused
from whatsapp_contract.event_script import event_args
from whatsapp_contract.events import EVENT_DATA, AlertData, Event, EventType
from whatsapp_contract.names import SessionNames
from whatsapp_contract.results import PairingCodeResult

DOCUMENT: dict[str, Any] = yaml.safe_load(asyncapi.DOCUMENT.read_text())
SCHEMAS = DOCUMENT["components"]["schemas"]
MESSAGES = DOCUMENT["components"]["messages"]


def checked(schema: str, value: Any) -> None:
    """Raises jsonschema.ValidationError."""
    whole = {"$schema": "http://json-schema.org/draft-07/schema#", "components": {"schemas": SCHEMAS}}
    whole |= {"$ref": f"#/components/schemas/{schema}"}
    kind = validator_for(whole)
    kind(whole, format_checker=kind.FORMAT_CHECKER).validate(value)


def refs(part: Any) -> set[str]:
    if isinstance(part, dict):
        found = {part["$ref"]} if isinstance(part.get("$ref"), str) else set()
        return found.union(*map(refs, part.values()))
    return set().union(*map(refs, part)) if isinstance(part, list) else set()


def test_the_document_is_what_the_code_says() -> None:
    assert asyncapi.DOCUMENT.read_text() == asyncapi.text(), "run `make contract`"


def test_whatever_it_refers_to_is_in_it() -> None:
    for ref in refs(DOCUMENT):
        found: Any = DOCUMENT
        for name in ref.removeprefix("#/").split("/"):
            found = found[name]
        assert found


def test_every_command_every_event_and_every_error_is_in_it() -> None:
    assert {name for name, one in DOCUMENT["operations"].items() if one["action"] == "receive"} == set(COMMANDS)
    assert set(COMMANDS) == set(HANDLERS) == set(command_errors.OF_COMMAND)
    assert {name.partition(".")[2] for name in MESSAGES if name.startswith("event.")} == set(EventType)
    assert set(EVENT_DATA) == set(EventType) == set(contract_examples.EVENTS)
    known = {kind.code for kind in ContractError.__subclasses__() if kind.__module__ == ContractError.__module__}
    assert set(SCHEMAS["ReplyError"]["properties"]["code"]["enum"]) == set(SCHEMAS["ReplyError"]["x-codes"]) == known
    for operation in DOCUMENT["operations"].values():
        assert set(operation.get("x-errors", [])) <= known


def test_the_channels_are_the_names() -> None:
    names = SessionNames("shula-whatsapp")

    def address(channel: str) -> str:
        found = DOCUMENT["channels"][channel]["address"].replace("{session_id}", "shula-whatsapp")
        return str(found.replace("{command_id}", "7"))

    assert address("commands") == names.commands
    assert address("replies") == names.replies("7")
    assert address("eventStream") == address("eventChannel") == names.events
    assert (address("status"), address("qr")) == (names.status, names.qr)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_example_of_a_command_is_one(name: str) -> None:
    (example,) = MESSAGES[f"command.{name}"]["examples"]
    spec, _args = parse_args(parse_command(json.dumps(example["payload"]).encode()))
    assert spec.name == name
    checked(f"command.{name}", example["payload"])
    for wrong in ({"surprise": 1}, {**example["payload"], "name": "other"}):
        with pytest.raises(jsonschema.ValidationError):
            checked(f"command.{name}", wrong)
    with pytest.raises(jsonschema.ValidationError):
        checked(f"command.{name}", {**example["payload"], "args": {"no_such_argument": 1}})
    with pytest.raises(BadArguments):
        parse_args(commands.Command(name=name, args={"no_such_argument": 1}))


@pytest.mark.parametrize("kind", EventType)
def test_the_example_of_an_event_is_one(kind: EventType) -> None:
    (example,) = MESSAGES[f"event.{kind}"]["examples"]
    event = Event.model_validate(example["payload"])
    assert event.type == kind
    assert EVENT_DATA[kind].model_validate(event.data) == contract_examples.EVENTS[kind]
    checked(f"event.{kind}", example["payload"])
    checked(f"event.{kind}", {**example["payload"], "id": "1795945495899-0"})
    checked(f"event.{kind}", {**example["payload"], "data": {**event.data, "a_field_of_later": 1}})
    required = SCHEMAS[EVENT_DATA[kind].__name__]["required"]
    without = {name: value for name, value in event.data.items() if name != required[0]}
    with pytest.raises(jsonschema.ValidationError):
        checked(f"event.{kind}", {**example["payload"], "data": without})
    with pytest.raises(jsonschema.ValidationError):
        checked(f"event.{kind}", {**example["payload"], "type": "other"})


@pytest.mark.parametrize("kind", EventType)
def test_what_the_script_is_given_to_tell_is_such_an_event(kind: EventType) -> None:
    now = datetime.now(UTC)
    data = contract_examples.EVENTS[kind]
    args = event_args("s1", str(kind), data, number=1, occurred_at=now, observed_at=now)
    checked(f"event.{kind}", json.loads(f'{args[3]}"epoch":1,"seq":7{args[4]}'))


def test_an_event_has_the_data_of_its_type_alone() -> None:
    now = datetime.now(UTC)
    with pytest.raises(TypeError, match="qr does not have AlertData"):
        event_args("s1", "qr", AlertData(code="c", message="m"), number=1, occurred_at=now, observed_at=now)


def test_replies_are_such_replies() -> None:
    result = PairingCodeResult(code="ABCD-EFGH", expires_at=datetime.now(UTC), took_ms=312.4)
    done = json.loads(commands.reply_ok(contract_examples.COMMAND_ID, result, 312.9))
    checked("reply.pairing_code", done)
    failed = json.loads(commands.reply_error(contract_examples.COMMAND_ID, Busy("reset is under way"), 1.0))
    checked("reply.error", failed)
    for schema, wrong in (("reply.error", done), ("reply.pairing_code", failed), ("reply.backup", done)):
        with pytest.raises(jsonschema.ValidationError):
            checked(schema, wrong)


def test_an_error_that_a_command_does_not_name_is_known_as_such() -> None:
    assert command_errors.is_foreseen("pairing_code", Refused())
    assert command_errors.is_foreseen("ping", Busy())
    assert not command_errors.is_foreseen("ping", NotFound())
    for name, kinds in command_errors.OF_COMMAND.items():
        assert not set(kinds) & {*command_errors.OF_EVERY_COMMAND, *command_errors.OF_THE_CALLER}, name
