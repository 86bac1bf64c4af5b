"""Another machine claims an address that we hold: the client is told again, at once, who has it."""

from collections.abc import Iterator

import pytest

from carpsidecar.lab.node import Node
from carpsidecar.lab.probe import Probe
from carpsidecar.lab.process import Process
from tests.support.cluster import FAST, VHID, VIP, VIP6, Cluster, client_of, cluster_of, holds, mac_of, neighbour
from tests.support.frames import altered, gratuitous_arp, ipv4, neighbour_advertisement
from tests.support.tap import Tap, advertises, announces
from tests.support.waits import SOON_S, Delay, wait_until

pytestmark = pytest.mark.network

AT_ONCE_S = 0.3
GAP_MIN_S, GAP_MAX_S = 0.1, 10.0
"""Between two answers it doubles with each, so that two machines that contradict each other come to an end."""
CLAIM = {VIP: gratuitous_arp, VIP6: neighbour_advertisement}


class Scene:
    """A master, a client of its address, and a stranger."""

    def __init__(self, cluster: Cluster, ip: str) -> None:
        self.ip = ip
        self.cluster = cluster
        self.master = cluster["a"]
        self.stranger: Node = cluster.lab.node("stranger")
        self.daemon: Process = cluster.start("a", *FAST, "--advskew", "40")
        self.daemon.wait_for("became master", SOON_S)
        self._gap_s = 0.0

    @property
    def client(self) -> Node:
        return self.cluster.lab.nodes["client2"]

    def claim(self, times: int = 1) -> None:
        """The stranger says that it has the address, and each time that it has been contradicted, again."""
        delay, mine, theirs = Delay(self.daemon), mac_of(self.master), mac_of(self.stranger)
        with Tap(self.stranger) as stranger, Tap(self.client) as client:
            for _ in range(times):
                before = client.mark()
                stranger.send(CLAIM[self.ip](stranger.mac, self.ip))
                claim = client.wait_for(announces(self.ip, theirs), SOON_S, before)
                answer = client.wait_for(announces(self.ip, mine), SOON_S, claim.number)
                assert answer.at_s - claim.at_s < AT_ONCE_S + self._gap_s + delay.s
                self._gap_s = min(2 * (self._gap_s or GAP_MIN_S), GAP_MAX_S)


@pytest.fixture(scope="module", params=[VIP, VIP6])
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    with cluster_of("a", vip=request.param) as cluster:
        yield Scene(cluster, request.param)


@pytest.fixture(scope="module")
def probe(scene: Scene) -> Iterator[Probe]:
    with client_of(scene.cluster) as probe:
        probe.wait_until_answered_by("a", SOON_S)
        yield probe


def test_a_forged_announcement_is_answered_and_the_client_comes_back(scene: Scene, probe: Probe) -> None:
    heard = scene.daemon.log_size
    scene.claim()
    line = scene.daemon.wait_for("claims", SOON_S, after=heard)
    assert f"{mac_of(scene.stranger)} claims {scene.ip} while we hold it: announced again" in line
    probe.wait_until_answered_by("a", SOON_S)
    assert neighbour(scene.client, scene.ip) == mac_of(scene.master)
    assert "became" not in scene.daemon.log[heard:]


def test_the_last_word_is_ours_however_fast_the_other_talks(scene: Scene, probe: Probe) -> None:
    scene.claim(times=3)
    probe.wait_until_answered_by("a", SOON_S)
    assert neighbour(scene.client, scene.ip) == mac_of(scene.master)


def test_a_host_with_the_address_configured_by_hand_does_not_keep_the_client(scene: Scene, probe: Probe) -> None:
    prefix = "128" if ":" in scene.ip else "24"
    scene.stranger.run(["ip", "address", "add", f"{scene.ip}/{prefix}", "dev", "eth0"])
    try:
        scene.claim()
        probe.wait_until_answered_by("a", SOON_S)
        assert neighbour(scene.client, scene.ip) == mac_of(scene.master)
    finally:
        scene.stranger.run(["ip", "address", "del", f"{scene.ip}/{prefix}", "dev", "eth0"])
    assert holds(scene.master, scene.ip), "the master keeps it"


def test_a_claim_while_somebody_else_is_master_is_none_of_our_business(scene: Scene) -> None:
    scene.daemon.stop()
    backup = scene.cluster.start("a", "--advbase", "5")
    backup.wait_for("became backup", SOON_S)
    mine = mac_of(scene.master)
    with Tap(scene.stranger) as stranger, Tap(scene.client) as client:
        stranger.send(CLAIM[scene.ip](stranger.mac, scene.ip))
        with pytest.raises(TimeoutError):
            client.wait_for(announces(scene.ip, mine), 0.5)
    assert "claims" not in backup.log
    backup.stop()


def test_a_better_rival_that_advertises_from_the_virtual_address_itself_is_heard() -> None:
    """A BSD without another address on that interface. This kernel holds the address too, and drops its packets as
    martians before a raw socket sees them."""
    with cluster_of("a") as cluster:
        process = cluster.start("a", *FAST, "--advskew", "40")
        process.wait_for("became master", SOON_S)
        with Tap(cluster.lab.node("bsd")) as tap:
            better = altered(tap.wait_for(advertises(vhid=VHID), SOON_S).payload, b2=20)

            def yielded() -> bool:
                tap.send(ipv4(tap.mac, VIP, better))
                return f"became backup: a better master advertises ({VIP})" in process.log

            wait_until(yielded)
