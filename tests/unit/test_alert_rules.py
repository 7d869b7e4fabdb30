"""The alert rules name metrics, labels and documents that are there."""

import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.unit.test_metrics import STATUS
from web import metrics
from whatsapp_contract.health import Verdict

REPOSITORY = Path(__file__).parents[2]
FILE = REPOSITORY / "deploy" / "prometheus" / "alerts.yaml"
RULES: list[dict[str, Any]] = [rule for group in yaml.safe_load(FILE.read_text())["groups"] for rule in group["rules"]]
COUNTS = metrics.Counts(
    1, 1, 1, (("photos", 1, 1),), {"failed": 1}, 1, sends_stopped=True, queues={"checks": 1}, incidents=0
)


def told() -> set[str]:
    text = metrics.exposition(
        STATUS.model_copy(update={"session_saved_at": datetime.now(UTC)}), COUNTS, datetime.now(UTC)
    )
    return {sample.name for family in text_string_to_metric_families(text.decode()) for sample in family.samples}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_is_over_what_is_told_and_says_where_to_read_on(rule: dict[str, Any]) -> None:
    assert set(re.findall(r"whatsapp_\w+", rule["expr"])) <= told()
    verdicts = {one for pattern in re.findall(r'verdict=~?"([^"]+)"', rule["expr"]) for one in pattern.split("|")}
    assert verdicts <= {one.value for one in Verdict}
    assert (REPOSITORY / rule["annotations"]["runbook"].partition(":")[0]).is_file()
    assert rule["annotations"]["summary"]
    assert rule["labels"]["severity"] in ("warning", "critical")


def test_prometheus_takes_them() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("PROMTOOL DID NOT LOOK AT THE ALERT RULES: it is missing (Debian: apt install prometheus)")
    done = subprocess.run([promtool, "check", "rules", str(FILE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
