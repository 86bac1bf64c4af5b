"""Privileges given up, each time in a child of its own."""

import os
import subprocess
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from carpsidecar.linux.capabilities import keep_only, missing

pytestmark = pytest.mark.network

NETWORK = ["CAP_NET_ADMIN", "CAP_NET_RAW"]
MASK = 1 << 12 | 1 << 13


def in_child(work: Callable[[], None]) -> None:
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _pid, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def status_of(text: str) -> dict[str, int]:
    lines = (line.split(":\t") for line in text.splitlines() if line.startswith(("Cap", "NoNewPrivs")))
    return {name: int(value, 16) for name, value in lines}


def own_status() -> dict[str, int]:
    return status_of(Path("/proc/self/status").read_text())


def status_of_a_program() -> dict[str, int]:
    return status_of(
        subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True, check=True).stdout
    )


def test_effective_and_permitted_are_reduced() -> None:
    def work() -> None:
        before = own_status()
        keep_only(NETWORK, bounding=False)
        after = own_status()
        assert after["CapEff"] == after["CapPrm"] == MASK
        assert after["CapBnd"] == before["CapBnd"]
        assert after["NoNewPrivs"] == 0
        assert status_of_a_program()["CapEff"] == before["CapEff"]  # hooks run as before

    in_child(work)


def test_with_bounding_no_program_has_more() -> None:
    def work() -> None:
        keep_only(NETWORK, bounding=True)
        for status in (own_status(), status_of_a_program()):
            assert status["CapEff"] == status["CapPrm"] == status["CapBnd"] == MASK
            assert status["NoNewPrivs"] == 1

    in_child(work)


def test_nothing_at_all_can_be_kept() -> None:
    def work() -> None:
        keep_only([], bounding=True)
        for status in (own_status(), status_of_a_program()):
            assert status["CapEff"] == status["CapPrm"] == status["CapBnd"] == 0

    in_child(work)


def test_without_setpcap_no_new_privs_sees_to_it() -> None:
    def work() -> None:
        keep_only(NETWORK, bounding=False)
        keep_only(["CAP_NET_RAW"], bounding=True)
        assert own_status()["CapEff"] == 1 << 13
        assert status_of_a_program()["CapEff"] == 1 << 13

    in_child(work)


def test_missing_names_what_is_not_there() -> None:
    def work() -> None:
        assert missing(NETWORK) == []
        keep_only(["CAP_NET_RAW"], bounding=False)
        assert missing(["CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_CHECKPOINT_RESTORE"]) == [
            "CAP_NET_ADMIN",
            "CAP_CHECKPOINT_RESTORE",
        ]
        keep_only(NETWORK, bounding=False)  # what is gone stays gone
        assert missing(NETWORK) == ["CAP_NET_ADMIN"]

    in_child(work)


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(ValueError, match="no such capability: 'NET_ADMIN'; they are written like CAP_NET_ADMIN"):
        missing(["NET_ADMIN"])
