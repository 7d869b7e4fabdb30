"""The alert rules name metrics, labels and documents that are there, and Prometheus would take them."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.harness.scrape import label_values, selectors, unknown

REPOSITORY = Path(__file__).parents[2]
FILE = REPOSITORY / "deploy" / "prometheus" / "alerts.yaml"
RULES: list[dict[str, Any]] = [rule for group in yaml.safe_load(FILE.read_text())["groups"] for rule in group["rules"]]
DURATION = re.compile(r"\d+(s|m|h)")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_is_over_what_is_told_and_says_where_to_read_on(rule: dict[str, Any]) -> None:
    assert unknown(rule["expr"]) == []
    assert selectors(rule["expr"])
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert DURATION.fullmatch(rule.get("for", "0s"))
    assert (REPOSITORY / rule["annotations"]["runbook"].partition(":")[0]).is_file()
    assert rule["annotations"]["summary"]
    assert rule["labels"]["severity"] in ("warning", "critical")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_summary_names_labels_that_its_rule_leaves(rule: dict[str, Any]) -> None:
    named = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
    values = label_values()
    left = {"instance"}.union(*(values[name] for name, _matchers in selectors(rule["expr"])))
    if kept := re.search(r"\bby \(([^)]*)\)", rule["expr"]):
        left &= set(kept[1].split(", "))
    assert named <= left


def test_no_two_rules_have_one_name() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES)


@pytest.mark.parametrize(
    ("expression", "wrong"),
    [
        ("whatsapp_ready == 0", []),
        ("increase(whatsapp_never_heard_of_total[5m]) > 0", ["whatsapp_never_heard_of_total"]),
        ('rate(whatsapp_rungs_total{rung="hold", outcome="kept"}[5m])', ["whatsapp_rungs_total{outcome=kept}"]),
        ('whatsapp_ready{verdict="healthy"}', ["whatsapp_ready{verdict=healthy}"]),
    ],
)
def test_what_nobody_tells_is_found(expression: str, wrong: list[str]) -> None:
    assert unknown(expression) == wrong


@pytest.mark.parametrize("expression", ["sum(whatsapp_ready", "rate(whatsapp_ready)", "whatsapp_ready = 1", ""])
def test_what_prometheus_does_not_take_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        selectors(expression)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="a second opinion: promtool, of Debian's prometheus")
def test_promtool_takes_them() -> None:
    done = subprocess.run(["promtool", "check", "rules", str(FILE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
