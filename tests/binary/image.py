"""An image in its archive, read without a container runtime."""

import io
import json
import tarfile
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any


class Image:
    """In this Docker archive."""

    def __init__(self, archive: Path) -> None:
        self._archive = archive

    @cached_property
    def manifest(self) -> dict[str, Any]:
        [manifest] = json.loads(self._read("manifest.json"))
        return dict(manifest)

    @cached_property
    def config(self) -> dict[str, Any]:
        return dict(json.loads(self._read(self.manifest["Config"])))

    @cached_property
    def files(self) -> dict[str, tarfile.TarInfo]:
        """Everything in it, by its path."""
        return {entry.name: entry for layer in self._layers() for entry in layer}

    def content(self, path: str) -> bytes:
        for layer in self._layers():
            if path in layer.getnames() and (file := layer.extractfile(path)) is not None:
                return file.read()
        raise FileNotFoundError(path)

    def unpack(self, folder: Path) -> None:
        for layer in self._layers():
            layer.extractall(folder, filter="tar")

    def _layers(self) -> Iterator[tarfile.TarFile]:
        for name in self.manifest["Layers"]:
            with tarfile.open(fileobj=io.BytesIO(self._read(name))) as layer:
                yield layer

    def _read(self, name: str) -> bytes:
        with tarfile.open(self._archive) as archive:
            file = archive.extractfile(name)
            assert file is not None
            return file.read()
