"""The gateway pair: two firewalls, a client behind them and a server before them."""

from carpsidecar.lab.network import Lab
from tests.support.manual.machine import Machine
from tests.support.manual.page import claim
from tests.support.manual.runner import Runner

BLOCKS = claim("docs/recipes/gateway.md")


def test_every_command_does_what_the_page_says(lab: Lab) -> None:
    firewalls = [
        Machine(lab, "fw1", [["192.0.2.11/24"], ["10.0.0.2/24"]]),
        Machine(lab, "fw2", [["192.0.2.12/24"], ["10.0.0.3/24"]]),
    ]
    client = Machine(lab, "client", [[], ["10.0.0.50/24"]])
    client.run("ip route add default via 10.0.0.1")
    Machine(lab, "server", [["192.0.2.200/24"]])
    Runner([*firewalls, client]).run(BLOCKS)
