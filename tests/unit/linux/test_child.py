"""The end of a child is told, and it can still be waited for."""

import errno
import os
import select
import subprocess

import pytest

from carpsidecar.linux.child import end_of
from tests.support.waits import SOON_S


@pytest.mark.parametrize("missing", [None, errno.ENOSYS, errno.EPERM], ids=["today", "Linux 5.2", "forbidden"])
def test_the_end_of_a_child_is_reported(missing: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if missing is not None:

        def fail(pid: int) -> int:
            raise OSError(missing, os.strerror(missing))

        monkeypatch.setattr(os, "pidfd_open", fail)
    with subprocess.Popen(["sh", "-c", "read line; exit 3"], stdin=subprocess.PIPE) as child:
        assert child.stdin is not None
        ended = end_of(child.pid)
        try:
            assert not select.select([ended], [], [], 0)[0]
            child.stdin.close()
            assert select.select([ended], [], [], SOON_S)[0]
            assert child.wait() == 3
        finally:
            os.close(ended)


def test_a_process_that_is_not_there_is_an_error() -> None:
    with subprocess.Popen(["true"]) as child:
        child.wait()
    with pytest.raises(ProcessLookupError):
        end_of(child.pid)
