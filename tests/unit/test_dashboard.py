"""The dashboard: whole, nothing over another, each expression one that Prometheus takes over metrics that are told."""

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.harness.scrape import families, label_values, selectors, unknown

DEPLOY = Path(__file__).parents[2] / "deploy"
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana/dashboard.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
SHOWN = [panel for panel in PANELS if panel["type"] != "row"]
VARIABLES: dict[str, dict[str, Any]] = {one["name"]: one for one in DASHBOARD["templating"]["list"]}

# What is left out on purpose, and why.
NOT_SHOWN = {
    "whatsapp_events_total": "by type it says more",
    "whatsapp_incidents_kept": "how many are remembered says nothing of how many there were",
}


def filled(expression: str) -> str:
    """With what Grafana puts in the place of its own words."""
    text = re.sub(r"\$__(rate_interval|interval|range)\b", "5m", expression)
    return re.sub(r"\$\w+", "a", text)


def targets() -> list[tuple[str, str]]:
    return [(panel["title"], target["expr"]) for panel in SHOWN for target in panel["targets"]]


@pytest.mark.parametrize(("title", "expression"), targets())
def test_an_expression_is_over_what_is_told(title: str, expression: str) -> None:
    assert selectors(filled(expression)), title
    assert unknown(filled(expression)) == []


@pytest.mark.parametrize(("title", "expression"), targets())
def test_an_expression_is_of_the_container_that_was_chosen(title: str, expression: str) -> None:
    asked = [matchers.get("instance") for _name, matchers in selectors(expression.replace("$__rate_interval", "5m"))]
    assert set(asked) == {"$instance"}, title


@pytest.mark.parametrize("panel", SHOWN, ids=lambda panel: panel["title"])
def test_a_legend_names_labels_that_its_expression_leaves(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        expression = filled(target["expr"])
        left = {"instance"}.union(*(label_values()[name] for name, _matchers in selectors(expression)))
        if kept := re.search(r"\bby \(([^)]*)\)", expression):
            left &= set(kept[1].split(", "))
        elif re.match(r"(sum|histogram_quantile)\b", expression):
            left = set()
        assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= left


def test_every_metric_is_shown_or_left_out_on_purpose() -> None:
    shown = {name for _title, expression in targets() for name, _matchers in selectors(filled(expression))}
    told = {family.name + ("_total" if family.type == "counter" else ""): family for family in families()}
    missing = {
        name for name, family in told.items() if shown.isdisjoint({name, *(sample.name for sample in family.samples)})
    }
    assert missing == set(NOT_SHOWN)


def test_every_metric_of_a_rule_is_shown() -> None:
    groups = yaml.safe_load((DEPLOY / "prometheus/alerts.yaml").read_text())["groups"]
    asked = {name for group in groups for rule in group["rules"] for name, _ in selectors(rule["expr"])}
    shown = {name for _title, expression in targets() for name, _matchers in selectors(filled(expression))}
    assert asked <= shown


def test_panels_have_ids_of_their_own_and_lie_beside_one_another() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    for panel in PANELS:
        at = panel["gridPos"]
        assert at["x"] >= 0
        assert at["x"] + at["w"] <= 24
        assert min(at["w"], at["h"]) > 0
    for first, second in combinations(PANELS, 2):
        a, b = first["gridPos"], second["gridPos"]
        apart = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        assert apart or a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"], (first["title"], second["title"])


def test_a_panel_says_what_it_shows_and_each_target_has_a_name_of_its_own() -> None:
    assert {panel["type"] for panel in SHOWN} == {"stat", "timeseries", "heatmap", "state-timeline", "table"}
    for panel in SHOWN:
        assert panel["title"]
        assert panel["description"]
        names = [target["refId"] for target in panel["targets"]]
        assert len(set(names)) == len(names) > 0


def test_prometheus_is_a_variable_and_every_question_goes_there() -> None:
    assert (VARIABLES["datasource"]["type"], VARIABLES["datasource"]["query"]) == ("datasource", "prometheus")
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    asked = [*SHOWN, *(target for panel in SHOWN for target in panel["targets"])]
    asked += [one for one in VARIABLES.values() if one["type"] == "query"]
    assert all(one["datasource"] == chosen for one in asked)


def test_the_variables_are_of_labels_that_are_told() -> None:
    for name, label in (("session", "session"), ("instance", "instance")):
        query = VARIABLES[name]["query"]["query"]
        asked = re.fullmatch(r"label_values\((.+), (\w+)\)", query)
        assert asked is not None
        assert asked[2] == label
        [(metric, _matchers)] = selectors(filled(asked[1]))
        assert metric == "whatsapp_session_info"


def test_nothing_of_a_machine_of_ours_is_in_it() -> None:
    assert "id" not in DASHBOARD  # Grafana gives one at the import
    assert re.findall(r"https?://", json.dumps(DASHBOARD)) == []
