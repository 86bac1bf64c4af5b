"""Helm 3, by its command, and Helm 4, by its library: one way to render with both."""

import functools
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import yaml

from carpsidecar.reporter.kubernetes.rbac import Rule

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts/carpsidecar"
RELEASE, NAMESPACE = "carp", "ha"

Values = Mapping[str, Any]
Manifest = dict[str, Any]


class RenderError(Exception):
    """Helm refused; the text is what it said."""


class Helm(Protocol):
    def render(self, values: Values) -> list[Manifest]:
        """Raises: RenderError."""

    def lint(self, values: Values) -> str:
        """What there is to complain about; empty where nothing is."""


class Helm3:
    """The command; `binary` is its path."""

    def __init__(self, binary: str) -> None:
        self.binary = binary

    def render(self, values: Values) -> list[Manifest]:
        done = self._run("template", RELEASE, str(CHART), "--namespace", NAMESPACE, values=values)
        if done.returncode:
            raise RenderError(done.stderr)
        return manifests(done.stdout)

    def lint(self, values: Values) -> str:
        done = self._run("lint", "--strict", str(CHART), values=values)
        return done.stdout + done.stderr if done.returncode else ""

    def _run(self, *arguments: str, values: Values) -> subprocess.CompletedProcess[str]:
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            yaml.safe_dump(dict(values), file)
            file.flush()
            command = [self.binary, *arguments, "--values", file.name]
            return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


class Helm4:
    """The library `helm_python`, which has Helm 4's own code in it."""

    def __init__(self, library: Any) -> None:
        self._library = library
        self._chart = library.Chart.load(str(CHART))

    def render(self, values: Values) -> list[Manifest]:
        try:
            files: dict[str, str] = self._chart.render(dict(values), name=RELEASE, namespace=NAMESPACE)
        except self._library.HelmError as error:
            raise RenderError(str(error)) from None
        return [
            found for name, text in sorted(files.items()) if name.endswith(".yaml") for found in manifests(text)
        ]

    def lint(self, values: Values) -> str:
        report = self._library.lint(str(CHART), dict(values), strict=True)
        return "\n".join(report["errors"])


def is_hook(manifest: Manifest) -> bool:
    """Whether Helm makes it for an occasion only, and takes it away again."""
    return "helm.sh/hook" in manifest["metadata"].get("annotations", {})


def manifests(text: str) -> list[Manifest]:
    return [found for found in yaml.safe_load_all(text) if found]


@functools.cache
def find_helm3() -> Helm3 | None:
    for candidate in (os.environ.get("HELM", ""), str(Path(sys.prefix) / "helm/node_modules/.bin/helm"), "helm"):
        path = shutil.which(candidate) if candidate else None
        if path:
            version = subprocess.run(
                [path, "version", "--short"], capture_output=True, text=True, check=False
            ).stdout
            if version.startswith("v3."):
                return Helm3(path)
    return None


@functools.cache
def find_helm4() -> Helm4 | None:
    try:
        library = importlib.import_module("helm_python")
    except ImportError:
        return None
    return Helm4(library)


def granted(manifests: list[Manifest]) -> set[Rule]:
    """What these roles allow."""
    return {
        Rule(verb, resource, manifest["metadata"].get("namespace", ""), group)
        for manifest in manifests
        for rule in manifest["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
