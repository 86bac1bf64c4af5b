"""docs/moving/metallb.md, beside an implementation that is not there: what is without a class is left to it."""

from collections.abc import Iterator

import pytest

from tests.cluster.harness import Cluster
from tests.cluster.services import Services, installed
from tests.cluster.workstation import Workstation
from tests.support.manual.page import claim

INSTALL, *TRY = claim("docs/moving/metallb.md")


@pytest.fixture(scope="module")
def services(cluster: Cluster, workstation: Workstation) -> Iterator[Services]:
    with installed(cluster, lambda: workstation.run([INSTALL])) as services:
        yield services


def test_only_what_has_our_class_is_ours(services: Services, workstation: Workstation) -> None:
    services.make("web")
    workstation.run(TRY)
    services.ask(services.addresses("web-carp")[0])
    assert services.get("web")["status"] == {"loadBalancer": {}}
