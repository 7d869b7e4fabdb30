"""Names in Redis: the contract's spelling, and sessions that never touch each other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatsapp_contract.names import INSTANCE_ID_PATTERN, SESSION_ID_PATTERN, InstanceNames, SessionNames

session_ids = st.from_regex(SESSION_ID_PATTERN.replace("$", r"\Z"))
instance_ids = st.from_regex(INSTANCE_ID_PATTERN.replace("$", r"\Z"))


def test_names_are_those_of_the_contract() -> None:
    names = SessionNames("shula-whatsapp")
    assert names.commands == "whatsapp:shula-whatsapp:commands"
    assert names.replies("7c1e") == "whatsapp:shula-whatsapp:replies:7c1e"
    assert names.events == "whatsapp:shula-whatsapp:events"
    assert names.status == "whatsapp:shula-whatsapp:status"
    assert names.qr == "whatsapp:shula-whatsapp:qr"


@pytest.mark.parametrize("bad", ["", "a b", "a:b", "ä", "x" * 65, "a\n"])
def test_a_session_id_outside_the_pattern_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="session id"):
        SessionNames(bad)


@given(first=st.tuples(session_ids, instance_ids), second=st.tuples(session_ids, instance_ids))
def test_two_instances_share_a_queue_only_if_they_are_the_same(
    first: tuple[str, str], second: tuple[str, str]
) -> None:
    same_queue = InstanceNames(*first).queue == InstanceNames(*second).queue
    assert same_queue == (first == second)


@given(session_ids, instance_ids)
def test_a_queue_name_holds_nothing_that_huey_strips(session_id: str, instance_id: str) -> None:
    queue = InstanceNames(session_id, instance_id).queue
    assert all(c.isascii() and (c.isalnum() or c == "_") for c in queue)


def test_names_that_differ_only_in_what_huey_strips_have_queues_of_their_own() -> None:
    queues = {InstanceNames(sid, "h").queue for sid in ("a-b", "a_b", "ab", "a--b")}
    assert len(queues) == 4
