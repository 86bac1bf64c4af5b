"""What `helm uninstall` runs last: the hook that takes the role off the workload's pods."""

from typing import Any

import pytest

from carpsidecar.cli.unmark import main
from carpsidecar.reporter.kubernetes.rbac import list_pods, patch_status
from tests.chart.cases import CASES, VIP
from tests.chart.conftest import Select
from tests.chart.helm import NAMESPACE, Manifest, Values, granted, is_hook

ELSEWHERE = CASES["workload pods elsewhere"]
HERE = {**VIP, "workload": {"selector": "app=web"}}


def hooks(rendered: Select, values: Values, kind: str = "") -> list[Manifest]:
    return [m for m in rendered(values, kind) if is_hook(m) and m["metadata"]["name"].endswith("-unmark")]


@pytest.mark.parametrize("case", CASES)
def test_it_is_there_where_foreign_pods_carry_the_role(rendered: Select, case: str) -> None:
    assert bool(hooks(rendered, CASES[case])) == bool(CASES[case].get("workload"))


@pytest.mark.parametrize(
    "off", [{"rbac": {"create": False}}, {"kubernetes": {"enabled": False}, "workload": {}}], ids=["rbac", "API"]
)
def test_it_is_not_there_where_we_give_no_rights(rendered: Select, off: dict[str, Any]) -> None:
    assert hooks(rendered, {**HERE, **off}) == []


@pytest.mark.parametrize(
    ("values", "namespaces"), [(HERE, [NAMESPACE]), (ELSEWHERE, ["web", "ha"])], ids=["here", "elsewhere"]
)
def test_it_may_do_what_it_does_where_the_pods_are_and_no_more(
    rendered: Select, values: Values, namespaces: list[str]
) -> None:
    needed = {rule for namespace in namespaces for rule in (list_pods(namespace), patch_status(namespace))}
    assert granted(hooks(rendered, values, "Role")) == needed
    [account], [job] = (hooks(rendered, values, kind) for kind in ("ServiceAccount", "Job"))
    for binding in hooks(rendered, values, "RoleBinding"):
        [subject] = binding["subjects"]
        assert subject["name"] == account["metadata"]["name"]
        assert subject["namespace"] == account["metadata"]["namespace"] == job["metadata"]["namespace"] == NAMESPACE
    pod = job["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == account["metadata"]["name"]
    [container] = pod["containers"]
    assert container["args"] == ["unmark", values["workload"]["selector"], *namespaces]


def test_its_rights_are_there_before_it_and_nothing_is_kept(rendered: Select) -> None:
    weights = {m["kind"]: int(m["metadata"]["annotations"]["helm.sh/hook-weight"]) for m in hooks(rendered, HERE)}
    assert weights.pop("Job") > max(weights.values())
    for manifest in hooks(rendered, HERE):
        annotations = manifest["metadata"]["annotations"]
        assert annotations["helm.sh/hook"] == "post-delete"
        assert "hook-succeeded" in annotations["helm.sh/hook-delete-policy"]


def test_its_pod_is_none_of_the_daemon_sets(rendered: Select) -> None:
    [daemon_set] = rendered(HERE, "DaemonSet")
    [job] = hooks(rendered, HERE, "Job")
    labels = job["spec"]["template"]["metadata"]["labels"]
    assert not daemon_set["spec"]["selector"]["matchLabels"].items() <= labels.items()


@pytest.mark.parametrize("arguments", [[], ["app=web"], ["", "web"]])
def test_a_call_that_is_incomplete_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "give a label selector and namespaces" in capsys.readouterr().err
