"""The JSON schemas of the contract, from its pydantic models."""

import inspect
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from whatsapp_contract import command_errors
from whatsapp_contract.commands import COMMANDS, Command, Reply
from whatsapp_contract.errors import ContractError
from whatsapp_contract.events import EVENT_DATA, Event, QrOnShow
from whatsapp_contract.status import Status

Json = dict[str, Any]

# What the service takes is checked strictly; of what it tells a reader passes over what it does not know.
_TAKEN: list[type[BaseModel]] = [Command, *(spec.args for spec in COMMANDS.values())]
_TOLD: list[type[BaseModel]] = [
    *(Reply, Event, QrOnShow),
    *(spec.result for spec in COMMANDS.values()),
    *EVENT_DATA.values(),
]


def schemas() -> Json:
    """By name: of each command, reply and event as a whole, and of the models that they are made of."""
    schemas: Json = {}
    for name, spec in COMMANDS.items():
        args = {"$ref": f"#/components/schemas/{spec.args.__name__}"}
        is_needed = any(field.is_required() for field in spec.args.model_fields.values())
        schemas[f"command.{name}"] = _narrowed(
            "Command", {"name": {"const": name}, "args": args}, ["args"] * is_needed
        )
        result = {"$ref": f"#/components/schemas/{spec.result.__name__}"}
        schemas[f"reply.{name}"] = _narrowed("Reply", {"ok": {"const": True}, "result": result}, ["result"])
    error = {"$ref": "#/components/schemas/ReplyError"}
    schemas["reply.error"] = _narrowed("Reply", {"ok": {"const": False}, "error": error}, ["error"])
    for kind, model in EVENT_DATA.items():
        data = {"$ref": f"#/components/schemas/{model.__name__}"}
        schemas[f"event.{kind}"] = _narrowed("Event", {"type": {"const": str(kind)}, "data": data}, [])
    models = _of_models(_TAKEN, "validation") | _open(_of_models(_TOLD, "serialization"))
    models["Reply"]["required"] = ["id", "ok", "took_ms"]
    models["ReplyError"]["properties"]["code"]["enum"] = sorted(_codes())
    models["ReplyError"]["x-codes"] = {code: _codes()[code] for code in sorted(_codes())}
    return schemas | dict(sorted(models.items())) | {"StatusHash": _status_hash()}


def _narrowed(base: str, properties: Json, required: list[str]) -> Json:
    more: Json = {"required": required} if required else {}
    return {"allOf": [{"$ref": f"#/components/schemas/{base}"}, {"type": "object", "properties": properties, **more}]}


def _codes() -> dict[str, Json]:
    groups = {
        "of every command": command_errors.OF_EVERY_COMMAND,
        "of what is no command": command_errors.OF_NO_COMMAND,
        "said by the caller's client": command_errors.OF_THE_CALLER,
    }
    where = {kind: words for words, kinds in groups.items() for kind in kinds}
    return {
        kind.code: {
            "description": first_sentence(kind.__doc__),
            "retryable": kind.retryable,
            **({"where": where[kind]} if kind in where else {}),
        }
        for kind in ContractError.__subclasses__()
        if kind.__module__ == ContractError.__module__
    }


def _of_models(models: list[type[BaseModel]], mode: JsonSchemaMode) -> Json:
    """The models' schemas, and those of what they hold, by name."""
    _refs, found = models_json_schema(
        [(model, mode) for model in dict.fromkeys(models)], ref_template="#/components/schemas/{model}"
    )
    return {name: _tidied(schema) for name, schema in found["$defs"].items()}


def _tidied(schema: Any) -> Any:
    """Without the titles, which are the names again; with descriptions in one line."""
    if isinstance(schema, list):
        return [_tidied(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    tidied: Json = {}
    for name, value in schema.items():
        if name == "title" and isinstance(value, str):
            continue
        if name == "properties":
            tidied[name] = {field: _tidied(inner) for field, inner in value.items()}
        else:
            tidied[name] = prose(value) if name == "description" else _tidied(value)
    return tidied


def _open(schemas: Json) -> Json:
    """What is told may gain fields."""
    for schema in schemas.values():
        if schema.get("additionalProperties") is False:
            del schema["additionalProperties"]
    return schemas


def _status_hash() -> Json:
    """Every field of the hash is text; what it is to be read as stands beside it."""
    status = _of_models([Status], "serialization")["Status"]
    fields = {
        name: {"type": "string", "x-reads-as": {key: value for key, value in schema.items() if key != "default"}}
        for name, schema in status["properties"].items()
    }
    return {
        "type": "object",
        "description": f"{status['description']} All are text.",
        "properties": fields,
        "required": list(fields),
    }


def first_sentence(words: str | None) -> str:
    """Of a docstring."""
    return prose(words or "").partition(". ")[0].rstrip(".") + "."


def prose(words: str) -> str:
    """In one line."""
    return " ".join(inspect.cleandoc(words).split())
