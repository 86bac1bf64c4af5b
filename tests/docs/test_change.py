"""Changing passphrase and addresses while it runs: what the page does on both nodes, under the eyes of a client."""

from carpsidecar.lab.network import Lab
from carpsidecar.lab.process import Process
from tests.support.manual.machine import Machine
from tests.support.manual.page import Block, claim
from tests.support.manual.runner import Runner
from tests.support.waits import SOON_S

BLOCKS = claim("docs/recipes/change.md", but_section="In Kubernetes")
CONFIGURATION = """\
vip: 192.0.2.100
vhid: 100
passphrase_file: /etc/carpsidecar/passphrase
"""
# In the place of systemd, which a node of the lab has not.
SYSTEMCTL = """\
#!/bin/sh
test "$*" = "reload carpsidecar" || exit 1
pkill -HUP -o -f "carpsidecar run"
"""


def test_every_step_is_taken_on_one_node_after_the_other_and_nobody_becomes_anything_else(lab: Lab) -> None:
    nodes = [Machine(lab, f"node{number}", [[f"192.0.2.1{number}/24"]]) for number in (1, 2)]
    engines = []
    for node, role in zip(nodes, ("master", "backup"), strict=True):
        node.write("/etc/carpsidecar/carpsidecar.yaml", CONFIGURATION)
        node.write("/etc/carpsidecar/passphrase", "the old one\n")
        node.write("/usr/local/bin/systemctl", SYSTEMCTL)
        node.run("chmod 600 /etc/carpsidecar/passphrase; chmod 755 /usr/local/bin/systemctl")
        engine = node.start("exec carpsidecar run --config /etc/carpsidecar/carpsidecar.yaml")
        engine.wait_for(f"became {role}", SOON_S)
        engines.append(engine)
    since = [engine.log_size for engine in engines]

    for step in steps(BLOCKS):
        for node, engine in zip(nodes, engines, strict=True):
            take(step, node, engine)

    for engine, start in zip(engines, since, strict=True):
        assert "became" not in engine.log[start:]
        assert "bad digest" not in engine.log[start:]
    assert "192.0.2.101" in nodes[0].run("ip -4 addr show dev eth0")
    assert "192.0.2.100" in nodes[0].run("ip -4 addr show dev eth0")


def steps(blocks: list[Block]) -> list[list[Block]]:
    """A file, if there is one, with the command that has it read."""
    found: list[list[Block]] = [[]]
    for block in blocks:
        found[-1].append(block)
        if "systemctl reload" in block.text:
            found.append([])
    return found[:-1]


def take(step: list[Block], node: Machine, engine: Process) -> None:
    after = engine.log_size
    Runner([node]).run(step)
    engine.wait_for("the configuration was read again", SOON_S, after=after)
