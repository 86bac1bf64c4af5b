"""One segment for each module."""

from collections.abc import Iterator

import pytest

from carpsidecar.lab.network import Lab
from carpsidecar.lab.process import Process
from tests.network.doctor.clinic import Clinic


@pytest.fixture(scope="module")
def clinic() -> Iterator[Clinic]:
    with Lab() as lab:
        yield Clinic(lab)


@pytest.fixture(scope="module")
def master(clinic: Clinic) -> Process:
    """The group's master on .11, which is well."""
    return clinic.run_master(clinic.master)
