"""Commands on the wire: whatever arrives gets its code, and its sender is found where that is possible."""

import json
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatsapp_contract import commands
from whatsapp_contract.commands import MAX_COMMAND_BYTES, Command, parse_args, parse_command
from whatsapp_contract.errors import (
    BadArguments,
    BadCommand,
    BadJson,
    Busy,
    ContractError,
    Internal,
    TooLarge,
    UnknownCommand,
    error_from_wire,
)
from whatsapp_contract.results import ShutdownResult

ID = "0d3f6c3e-4a57-4c58-9a53-0f6a9f0b3c11"


def payload(**fields: object) -> bytes:
    return json.dumps({"id": ID, "name": "check", **fields}).encode()


def test_a_command_of_the_contract() -> None:
    command = parse_command(payload(args={}, expires_at="2026-11-23T12:00:00Z"))
    assert (command.id, command.name, command.reply) == (ID, "check", True)
    assert command.expires_at is not None
    assert command.expires_at.utcoffset() is not None


def test_a_bare_word_is_a_command_without_reply() -> None:
    assert parse_command(b"check") == Command(name="check", reply=False)


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        (b"", BadJson),
        (b"{", BadJson),
        (b"\xff\xfe", BadJson),
        (b"[" * 100_000, BadJson),
        (b"42", BadCommand),
        (b"[]", BadCommand),
        (payload(name=7), BadCommand),
        (payload(name=""), BadCommand),
        (payload(surprise=1), BadCommand),
        (payload(id="not-a-uuid"), BadCommand),
        (payload(args=[]), BadCommand),
        (payload(expires_at="yesterday"), BadCommand),
        (payload(expires_at="2026-11-23T12:00:00"), BadCommand),
        (payload(args={"x": "y" * MAX_COMMAND_BYTES}), TooLarge),
    ],
)
def test_what_is_no_command_is_refused_with_its_code(bad: bytes, kind: type[ContractError]) -> None:
    with pytest.raises(kind):
        parse_command(bad)


def test_a_payload_of_exactly_the_limit_is_read() -> None:
    empty = payload(args={"x": ""})
    full = payload(args={"x": "y" * (MAX_COMMAND_BYTES - len(empty))})
    assert len(full) == MAX_COMMAND_BYTES
    parse_command(full)


@given(st.binary(max_size=2000))
def test_no_payload_raises_anything_but_a_contract_error(junk: bytes) -> None:
    try:
        parse_command(junk)
    except ContractError:
        pass
    commands.id_of(junk)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
        max_leaves=20,
    )
)
def test_no_json_raises_anything_but_a_contract_error(document: object) -> None:
    try:
        parse_args(parse_command(json.dumps(document).encode()))
    except ContractError:
        pass


def test_the_sender_of_a_broken_command_is_found_by_the_id_in_its_head() -> None:
    assert commands.id_of(b'{"id": "%s", "name": ' % ID.encode()) == ID
    assert commands.id_of(payload(args={"x": "y" * MAX_COMMAND_BYTES})) == ID
    assert commands.id_of(b"no id here") is None


def test_the_sender_is_the_one_at_the_top_of_an_object_wherever_it_stands() -> None:
    other = str(uuid4())
    filler = "y" * 5000
    late = json.dumps({"name": "check", "args": {"id": other, "x": filler}, "surprise": filler, "id": ID}).encode()
    assert commands.id_of(late) == ID
    assert commands.id_of(json.dumps({"args": {"id": other}, "surprise": 1}).encode()) is None
    assert commands.id_of(json.dumps({"id": "no uuid", "args": {"id": other}}).encode()) is None


def test_what_cannot_be_read_is_searched_at_both_ends() -> None:
    late = json.dumps({"args": {"x": "y" * 5000}, "id": ID}).encode()
    assert commands.id_of(late[:-1]) == ID
    assert commands.id_of(late.replace(b"y", b"y" * 1000)) == ID


def test_a_sender_who_wants_no_reply_is_not_told_of_a_broken_command_either() -> None:
    assert commands.id_of(payload(reply=False, surprise=1)) is None


def test_an_unknown_command_is_told_what_there_is() -> None:
    with pytest.raises(UnknownCommand, match="restart_browser"):
        parse_args(Command(name="dance"))


@pytest.mark.parametrize("args", [{"cause": 7}, {"cause": ""}, {"cause": "x" * 201}, {"other": 1}])
def test_bad_arguments_are_refused(args: dict[str, object]) -> None:
    with pytest.raises(BadArguments):
        parse_args(Command(name="reset", args=args))


def test_an_error_message_never_repeats_the_value() -> None:
    with pytest.raises(BadArguments) as caught:
        parse_args(Command(name="check", args={"text": "a private message"}))
    assert "private" not in str(caught.value)


def test_a_reply_has_a_result_or_an_error() -> None:
    command_id = str(uuid4())
    ok = json.loads(commands.reply_ok(command_id, ShutdownResult(), 1.23456))
    assert ok == {"id": command_id, "ok": True, "result": {}, "took_ms": 1.235}
    failed = json.loads(commands.reply_error(command_id, Busy("reset is under way"), 0.5))
    assert failed == {
        "id": command_id,
        "ok": False,
        "error": {"code": "busy", "message": "reset is under way", "retryable": True},
        "took_ms": 0.5,
    }


def test_every_code_of_the_contract_has_its_error() -> None:
    codes = """bad_json bad_command unknown_command bad_arguments too_large expired busy not_ready agent_unreachable
    no_reply page_timeout page_crashed browser_gone reset_unproven not_found store_unavailable refused internal"""
    for code in codes.split():
        assert type(error_from_wire(code, "m")).code == code
    assert isinstance(error_from_wire("from_the_future", "m"), Internal)


@pytest.mark.parametrize(
    "written",
    ["393331111111", "+393331111111", "+39 333 111-1111", "0039 (333) 111.1111", "\u202a+39\u00a03331111111\u202c"],
)
def test_a_phone_number_however_it_is_written(written: str) -> None:
    _spec, args = parse_args(Command(name="pairing_code", args={"phone": written}))
    assert args.model_dump() == {"phone": "393331111111"}


@pytest.mark.parametrize(
    "written",
    [
        "",
        "+",
        "333111",
        "0333 1111111",
        "3933311111111111",
        "39333111111a",
        "393331111111@c.us",
        "393331111111:2",
        393331111111,
    ],
)
def test_what_is_no_phone_number_is_refused_without_repeating_it(written: object) -> None:
    with pytest.raises(BadArguments) as raised:
        parse_args(Command(name="pairing_code", args={"phone": written}))
    assert str(raised.value).startswith("phone: ")
    assert "333" not in str(raised.value).replace("+39 333 111 1111", "")


@pytest.mark.parametrize(
    ("name", "args", "said"),
    [
        ("393331111111", {}, "no such command"),
        ("list_labels", {}, "no command 'list_labels'"),
        ("ping", {"393331111111": 1}, "…: no such argument"),
        ("ping", {"labels": 1}, "labels: no such argument"),
        ("suppress", {"add": [["393331111111"]]}, "add.0: "),
    ],
)
def test_a_name_that_is_none_of_ours_is_repeated_only_where_it_reads_like_one(
    name: str, args: dict[str, object], said: str
) -> None:
    with pytest.raises((BadArguments, UnknownCommand)) as raised:
        parse_args(Command(name=name, args=args))
    assert str(raised.value).startswith(said)
    assert "393331111111" not in str(raised.value)
