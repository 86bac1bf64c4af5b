"""Directors and real servers: who answers for the address, before and after a director is lost; without IPVS."""

from carpsidecar.lab.network import Lab
from tests.support.manual.machine import Machine
from tests.support.manual.page import claim
from tests.support.manual.runner import Runner
from tests.support.waits import wait_until

BLOCKS = claim("docs/recipes/directors.md")
VIP = "192.0.2.100"
ASK = f"ip neighbour flush to {VIP}; ping -c 1 -W 1 {VIP} >/dev/null; ip neighbour show {VIP}"


def test_only_the_director_that_is_master_answers(lab: Lab) -> None:
    directors = [Machine(lab, f"director{number}", [[f"192.0.2.1{number}/24"]]) for number in (1, 2)]
    reals = [Machine(lab, f"real{number}", [[f"192.0.2.2{number}/24"]]) for number in (1, 2)]
    client = Machine(lab, "client", [["192.0.2.50/24"]])
    runner = Runner([*directors, *reals, client])
    runner.run(BLOCKS)
    assert all(f"inet {VIP}/32 " in real.run("ip address show dev lo") for real in reals)

    answered = client.run(ASK, check=False)
    addresses = {director: director.run("ip -brief link show eth0").split()[2] for director in directors}
    master = next(director for director, address in addresses.items() if address in answered)
    [other] = set(directors) - {master}
    master.run("pkill -x carpsidecar")
    wait_until(lambda: addresses[other] in client.run(ASK, check=False), "the other director answers")

    # A real server that is not silent is heard, and doctor names it.
    reals[0].run("sysctl -qw net.ipv4.conf.all.arp_ignore=0")
    said = master.run("carpsidecar doctor --config /etc/carpsidecar/carpsidecar.yaml", check=False)
    assert "holder" in said
