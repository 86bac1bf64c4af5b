"""First steps: on two hosts, as the page has them."""

from carpsidecar.lab.network import Lab
from tests.support.manual.machine import Machine
from tests.support.manual.page import claim
from tests.support.manual.runner import Runner

BLOCKS = claim("docs/first-steps.md")


def test_every_command_does_what_the_page_says(lab: Lab) -> None:
    first = Machine(lab, "first", [["192.0.2.11/24"]])
    second = Machine(lab, "second", [["192.0.2.12/24"]])
    Runner([first, second]).run(BLOCKS)
