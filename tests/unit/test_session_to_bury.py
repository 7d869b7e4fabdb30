"""A logout that the store has not been told: known until it is done, also to the next agent."""

from pathlib import Path

from browser_agent.session.to_bury import ToBury


def test_what_is_owed_is_known_to_the_next_agent_until_it_is_done(tmp_path: Path) -> None:
    assert ToBury(tmp_path).cause is None
    owed = ToBury(tmp_path)
    owed.note("logout")
    assert (owed.cause, ToBury(tmp_path).cause) == ("logout", "logout")
    owed.forget()
    owed.forget()
    assert owed.cause is ToBury(tmp_path).cause is None
