"""Without multicast: three nodes, none of which lets a multicast out."""

from carpsidecar.lab.network import Lab
from tests.support.manual.machine import Machine
from tests.support.manual.page import claim
from tests.support.manual.runner import Runner

BLOCKS = claim("docs/recipes/no-multicast.md", but_section="On Kubernetes")
NO_MULTICAST = "nft 'add table ip none; add chain ip none out { type filter hook output priority 0; }'"


def test_every_command_does_what_the_page_says(lab: Lab) -> None:
    nodes = [Machine(lab, f"node{number}", [[f"192.0.2.1{number}/24"]]) for number in (1, 2, 3)]
    for node in nodes:
        node.run(f"{NO_MULTICAST}; nft 'add rule ip none out ip daddr 224.0.0.0/4 drop'")
    Runner(nodes).run(BLOCKS)
