"""The mark of an account beside its profile."""

from pathlib import Path

from structlog.testing import capture_logs

from browser_agent.account_marker import AccountMarker


def test_a_disk_that_takes_nothing_costs_the_mark_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "session").touch()
    marker = AccountMarker(tmp_path / "session" / "account")
    with capture_logs() as logs:
        marker.set()
    assert not marker.is_set
    assert [entry["log_level"] for entry in logs] == ["error"]
