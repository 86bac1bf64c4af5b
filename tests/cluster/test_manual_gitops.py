"""docs/recipes/gitops.md: the Secret that is there before, and a release that takes it."""

from tests.cluster.harness import NAMESPACE, VIP, Cluster
from tests.cluster.workstation import Workstation
from tests.support.manual.page import claim

[SECRET] = [block for block in claim("docs/recipes/gitops.md") if block.title == "once"]


def test_the_chart_takes_a_secret_that_is_there(cluster: Cluster, workstation: Workstation) -> None:
    cluster.uninstall()
    cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found")
    workstation.run([SECRET])
    try:
        cluster.install(f"vip={VIP}", "existingSecret=carp-passphrase")
        cluster.wait_for_one_master()
        secrets = cluster.get("secrets", "-n", NAMESPACE, "-l", "app.kubernetes.io/name=carpsidecar")
        assert secrets == []
    finally:
        cluster.uninstall()
