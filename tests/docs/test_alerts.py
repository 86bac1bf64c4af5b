"""Every alert of the chart leads to a section of the manual that says what to do, and no section is left over."""

import re
from typing import Any

import pytest

from tests.chart.cases import CASES, VIP
from tests.chart.conftest import Select, rendered
from tests.support.manual.page import SOURCE
from tests.support.manual.tables import DOCS

__all__ = ["rendered"]  # a fixture

PAGE = "docs/reference/alerts.md"
SECTIONS = dict(
    re.findall(r"^## (\w+)\n\n(.*?)(?=^## |\Z)", (DOCS / "reference/alerts.md").read_text(), re.M | re.S)
)


def alerts(rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [rule for manifest in rules for group in manifest["spec"]["groups"] for rule in group["rules"]]


@pytest.fixture
def ours(rendered: Select) -> list[dict[str, Any]]:
    return alerts(rendered(CASES["monitoring"], "PrometheusRule"))


def test_each_alert_leads_to_its_own_section(ours: list[dict[str, Any]]) -> None:
    for rule in ours:
        assert rule["annotations"]["runbook_url"] == f"{PAGE}#{rule['alert'].lower()}"
    assert (SOURCE / PAGE).is_file()


def test_there_is_a_section_for_each_alert_and_for_no_other(ours: list[dict[str, Any]]) -> None:
    assert [*SECTIONS] == [rule["alert"] for rule in ours]


def test_a_section_begins_with_the_severity_and_the_time_that_the_alert_waits(ours: list[dict[str, Any]]) -> None:
    for rule in ours:
        time = re.sub(
            r"^(\d+)([sm])$", lambda m: f"{m[1]} s" if m[2] == "s" else f"{m[1]} minutes", rule.get("for", "")
        )
        time = "a minute" if time == "1 minutes" else time
        after = f", after {time}" if time else ""
        assert SECTIONS[rule["alert"]].startswith(f"*{rule['labels']['severity']}{after}.* ")


def test_a_section_says_what_to_do() -> None:
    assert all(re.search(r"^1\. .*^2\. ", text, re.M | re.S) for text in SECTIONS.values())


def test_they_lead_to_where_the_manual_is_served(rendered: Select) -> None:
    url = "https://docs.example.com/reference/alerts.html"
    values = {**VIP, "prometheusRule": {"enabled": True, "runbookUrl": url}}
    [first, *_] = alerts(rendered(values, "PrometheusRule"))
    assert first["annotations"]["runbook_url"] == f"{url}#carpabsent"


def test_the_page_of_the_metrics_asks_for_the_same_as_the_chart() -> None:
    threshold = re.search(r"flappingThreshold: (\d+)", (SOURCE / "charts/carpsidecar/values.yaml").read_text())
    expression = re.search(r"Does it flap\?.*> (\d+)`", (DOCS / "metrics.md").read_text())
    assert threshold
    assert expression
    assert expression[1] == threshold[1]
