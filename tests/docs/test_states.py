"""The drawing of the states is what the election does."""

import re
from html import unescape

from carpsidecar.protocol.effects import Reason, State
from docs.tools.transitions import Transition, transitions, ways
from tests.support.manual.page import SOURCE


def test_the_drawing_is_made_from_the_code() -> None:
    drawn = (SOURCE / "docs" / "img" / "states.svg").read_text()
    words = [unescape(words) for words in re.findall(r"<text[^>]*>([^<]+)</text>", drawn)]
    labels = ways(transitions())
    # The way from master back to the start goes around, and is drawn last.
    around = labels.pop((State.MASTER, State.INIT))
    on_the_ways = [words for label in (*labels.values(), around) for words in label]
    assert words == [*on_the_ways, *(state.name for state in State)], "the election has changed: make docs"


def test_every_reason_is_found() -> None:
    of_the_member = {Reason.ADDRESS_PRESENT, Reason.ADDRESS_ABSENT, Reason.MASTER_HEARD}
    missing = set(Reason) - of_the_member - {one.reason for one in transitions()}
    assert not missing, "docs/tools/transitions.py has no event that leads to these"


def test_what_is_done_on_the_way_is_told() -> None:
    master = ("advertise", "take", "announce")
    assert Transition(State.BACKUP, State.MASTER, Reason.MASTER_SILENT, master) in transitions()
    assert Transition(State.MASTER, State.INIT, Reason.STOPPED, ("bow out", "release")) in transitions()
