"""What the chart makes of many values: Kubernetes takes it, and Helm 3 and Helm 4 agree."""

import functools
import importlib
import json
from typing import Any

import pytest
import yaml

from tests.chart.cases import CASES
from tests.chart.conftest import Select
from tests.chart.helm import ROOT, Helm, Manifest, find_helm3, find_helm4

OLDEST, NEWEST = "1.25", "1.37"
DOCUMENTS = sorted((ROOT / "docs/kubernetes").glob("*.yaml"))


@functools.cache
def validator() -> Any:
    try:
        library = importlib.import_module("kubernetes_validate")
    except ImportError:
        pytest.skip("Kubernetes' schemas are not here: pip install kubernetes-validate, which .ci/setup test does")
    utils: Any = importlib.import_module("kubernetes_validate.utils")
    # It reads 2 MB of definitions for each manifest.
    utils.schema_contents = functools.cache(utils.schema_contents)
    return library


def check(manifest: Manifest, version: str) -> None:
    if manifest["apiVersion"].startswith("monitoring.coreos.com/"):
        return  # not Kubernetes' own
    if manifest["kind"].startswith("ValidatingAdmissionPolicy") and version == OLDEST:
        return  # only where the cluster has it
    try:
        validator().validate(json.loads(json.dumps(manifest)), version, strict=True)
    except validator().ValidationError as error:
        where = ".".join(str(step) for step in error.path)
        pytest.fail(f"{manifest['kind']} {manifest['metadata']['name']}: {where}: {error.message}")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_it_fits_kubernetes_own_schemas(rendered: Select, case: str, version: str) -> None:
    for manifest in rendered(CASES[case], ""):
        check(manifest, version)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_the_documents_fit_kubernetes_own_schemas(path: Any) -> None:
    for manifest in yaml.safe_load_all(path.read_text()):
        check(manifest, NEWEST)


def test_the_check_can_fail() -> None:
    with pytest.raises(pytest.fail.Exception, match="dta"):
        check({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "dta": {}}, NEWEST)


@pytest.mark.parametrize("case", CASES)
def test_it_passes_helms_own_lint(helm: Helm, case: str) -> None:
    assert helm.lint(CASES[case]) == ""


def test_it_passes_lint_without_any_value(helm: Helm) -> None:
    assert helm.lint({}) == ""


@pytest.mark.parametrize("case", CASES)
def test_helm_3_and_helm_4_make_the_same(case: str) -> None:
    first, second = find_helm3(), find_helm4()
    if first is None or second is None:
        pytest.skip("it takes both Helm 3 and Helm 4")
    assert comparable(first.render(CASES[case])) == comparable(second.render(CASES[case]))


def comparable(manifests: list[Manifest]) -> list[str]:
    """In one order, without the passphrase, which is another one each time."""
    for manifest in manifests:
        if manifest["kind"] == "Secret":
            manifest["data"] = sorted(manifest["data"])
    return sorted(json.dumps(manifest, sort_keys=True) for manifest in manifests)


@pytest.mark.parametrize("case", CASES)
def test_every_object_belongs_to_its_release(rendered: Select, case: str) -> None:
    manifests = rendered(CASES[case], "")
    names = [(m["kind"], m["metadata"].get("namespace"), m["metadata"]["name"]) for m in manifests]
    assert len(set(names)) == len(names)
    for manifest in manifests:
        assert manifest["metadata"]["labels"]["app.kubernetes.io/instance"] == "carp"
        cluster_wide = manifest["kind"].startswith(("ClusterRole", "ValidatingAdmissionPolicy"))
        assert cluster_wide == ("namespace" not in manifest["metadata"])
