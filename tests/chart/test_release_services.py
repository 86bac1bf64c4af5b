"""What `helm uninstall` runs last where Services get addresses: the hook that takes them off."""

from typing import Any

import pytest

from carpsidecar.reporter.kubernetes.rbac import LIST_SERVICES, PATCH_SERVICE_STATUS
from tests.chart.cases import CASES
from tests.chart.conftest import Select
from tests.chart.helm import NAMESPACE, Manifest, Values, granted, is_hook

SERVICES = CASES["Services beside a vip"]


def hooks(rendered: Select, values: Values, kind: str = "") -> list[Manifest]:
    found = [m for m in rendered(values, kind) if is_hook(m)]
    return [m for m in found if m["metadata"]["name"].endswith("-release-services")]


@pytest.mark.parametrize("case", CASES)
def test_it_is_there_where_services_get_addresses(rendered: Select, case: str) -> None:
    enabled = CASES[case].get("loadBalancer", {}).get("enabled", False)
    assert bool(hooks(rendered, CASES[case])) == enabled


def test_it_is_not_there_where_we_give_no_rights(rendered: Select) -> None:
    assert hooks(rendered, {**SERVICES, "rbac": {"create": False}}) == []


def test_it_may_do_what_it_does_and_no_more(rendered: Select) -> None:
    assert granted(hooks(rendered, SERVICES, "ClusterRole")) == {LIST_SERVICES, PATCH_SERVICE_STATUS}
    [account], [job] = (hooks(rendered, SERVICES, kind) for kind in ("ServiceAccount", "Job"))
    [binding] = hooks(rendered, SERVICES, "ClusterRoleBinding")
    [subject] = binding["subjects"]
    assert subject["name"] == account["metadata"]["name"]
    assert subject["namespace"] == account["metadata"]["namespace"] == job["metadata"]["namespace"] == NAMESPACE
    pod = job["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == account["metadata"]["name"]
    [container] = pod["containers"]
    assert container["args"] == ["release-services", SERVICES["loadBalancer"]["class"]]


def test_its_rights_are_there_before_it_and_nothing_is_kept(rendered: Select) -> None:
    found = [m["metadata"] for m in hooks(rendered, SERVICES)]
    annotations: list[dict[str, Any]] = [metadata["annotations"] for metadata in found]
    assert {one["helm.sh/hook"] for one in annotations} == {"post-delete"}
    assert all("hook-succeeded" in one["helm.sh/hook-delete-policy"] for one in annotations)
    weights = {
        m["kind"]: int(m["metadata"]["annotations"]["helm.sh/hook-weight"]) for m in hooks(rendered, SERVICES)
    }
    assert weights.pop("Job") > max(weights.values())
