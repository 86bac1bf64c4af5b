"""One segment for each module."""

from collections.abc import Iterator

import pytest

from carpsidecar.lab.network import Lab
from carpsidecar.lab.process import Process
from tests.network.doctor.lab import DoctorLab


@pytest.fixture(scope="module")
def lab() -> Iterator[DoctorLab]:
    with Lab() as lab:
        yield DoctorLab(lab)


@pytest.fixture(scope="module")
def master(lab: DoctorLab) -> Process:
    """The group's master on .11, which is well."""
    return lab.run_master(lab.master)
