"""What the tests of the configuration share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from carpsidecar.config.schema import ConfigError
from carpsidecar.config.sources import Config, load
from tests.support.command import passphrase_file

__all__ = ["passphrase_file"]

WriteFile = Callable[[str], str]
Refusal = Callable[..., str]


@pytest.fixture
def write_file(tmp_path: Path) -> WriteFile:
    """Writes a configuration file and returns its path."""

    def write(text: str) -> str:
        path = tmp_path / "carp.yaml"
        path.write_text(text)
        return str(path)

    return write


@pytest.fixture
def refusal() -> Refusal:
    """Loads what can't be used, and returns what is said of it."""

    def refuse(
        flags: dict[str, Any] | None = None, environ: dict[str, str] | None = None, file: str | None = None
    ) -> str:
        with pytest.raises(ConfigError) as caught:
            load(flags or {}, environ or {}, file)
        text = str(caught.value)
        assert len(text.splitlines()) == 1
        return text

    return refuse


def one_group(**flags: Any) -> Config:
    """A configuration by flags alone, with the least that is needed."""
    return load({"vip": "192.0.2.100", "vhid": "42", "passphrase": "secret", **flags}, {})
