"""docs/operations.md has every alert that the code sends, and every rule of Prometheus."""

import re
from pathlib import Path

import yaml

from browser_agent.session import errors
from whatsapp_contract.health import stuck_in
from whatsapp_contract.states import SessionState
from workers import recovery, restarting

REPOSITORY = Path(__file__).parents[2]
TEXT = (REPOSITORY / "docs/operations.md").read_text()


def told() -> set[str]:
    """The first column of the table of alerts."""
    rows = TEXT.partition("## Alerts")[2].splitlines()
    return {code for row in rows if row.startswith("| `") for code in re.findall(r"`([a-z_]+)`", row.split("|")[1])}


def test_every_alert_in_the_code_is_in_the_table() -> None:
    sources = [
        path.read_text()
        for folder in ("browser_agent", "workers", "webhooks")
        for path in (REPOSITORY / folder).rglob("*.py")
    ]
    direct = re.compile(r'(?:AlertData\(\s*code=|\bAlert\(\s*|_alert\(\s*|\.alert\(\s*|_end_fallback\(\s*)"([a-z_]+)"')
    named = {code for source in sources for code in direct.findall(source)}
    assert named > {
        "sending_stopped",
        "build_not_served",
        "media_store_trouble",
        "session_damaged",
        "browser_ends_often",
        "webhook_unreachable",
    }
    named |= {recovery.HOLDS, recovery.CONFLICT_LEFT, recovery.ENDS_OFTEN, restarting.UNFINISHED}
    named |= {stuck_in(state) for state in (SessionState.STARTING, SessionState.SYNCING)}
    of_sessions = {
        kind.code for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.SessionError)
    }
    named |= of_sessions - {"session_error", "not_in_store"}  # which nobody is told
    assert named <= told(), named - told()


def test_every_alert_in_the_table_is_in_the_code() -> None:
    sources = "".join(
        path.read_text()
        for folder in ("browser_agent", "workers", "webhooks", "whatsapp_contract")
        for path in (REPOSITORY / folder).rglob("*.py")
    )
    known = {code for code in told() if f'"{code}"' in sources or code.startswith("stuck_in_")}
    assert told() == known


def test_every_rule_of_prometheus_is_in_its_table_and_no_other() -> None:
    rows = TEXT.partition("## Alert rules\n")[2].partition("\n## ")[0].splitlines()
    described = [row.split("|") for row in rows if row.startswith("| `")]
    groups = yaml.safe_load((REPOSITORY / "deploy/prometheus/alerts.yaml").read_text())["groups"]
    rules = [rule["alert"] for group in groups for rule in group["rules"]]
    assert [row[1].strip(" `") for row in described] == rules
    assert all(row[2].strip() and row[3].strip() for row in described)
