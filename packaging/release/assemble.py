"""Builds a release: for each architecture the binary, the image, the packages and the list of parts; and checksums.

usage: assemble.py FOLDER [ARCHITECTURE...]

Without an architecture it is amd64 and arm64; what can't be built on this machine is left out, and named. The chart
is packed by publish.py, which knows where the image will be.
"""

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).resolve().parent.parent.parent
PACKAGING = SOURCE / "packaging"
PYTHON = SOURCE / "build" / "venv" / "bin" / "python"
CYCLONEDX = SOURCE / "build" / "release-venv" / "bin" / "cyclonedx-py"
ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}


def main() -> int:
    if len(sys.argv) < 2 or set(sys.argv[2:]) - ARCHITECTURES.keys():
        print("usage: assemble.py FOLDER [amd64] [arm64]", file=sys.stderr)
        return 2
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    described = packages()
    for architecture in sys.argv[2:] or ARCHITECTURES:
        if can_run(architecture):
            build(folder, architecture, described)
        else:
            print(
                f"release: left out: {architecture}: this machine can't run its programs: "
                "install qemu-user-static, binfmt-support and arch-test",
                file=sys.stderr,
            )
    checksums(folder)
    return 0


def version() -> str:
    return re.search(r'__version__ = "(.+)"', (SOURCE / "carpsidecar" / "__init__.py").read_text())[1]


def commit_time() -> int:
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(given)
    command = ["git", "-C", SOURCE, "log", "-1", "--format=%ct"]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def can_run(architecture: str) -> bool:
    if ARCHITECTURES[architecture] == platform.machine():
        return True
    tester = shutil.which("arch-test")
    return (
        tester is not None
        and subprocess.run([tester, architecture], capture_output=True, check=False).returncode == 0
    )


def build(folder: Path, architecture: str, described: dict[str, dict[str, Any]]) -> None:
    files = SOURCE / "build" / "files" / architecture
    archive = folder / f"carpsidecar-image-{architecture}.tar"
    run(PACKAGING / "image" / "build.py", archive, "--architecture", architecture, "--files", files)
    shutil.copy2(files / "carpsidecar", folder / f"carpsidecar-linux-{architecture}")
    run(PACKAGING / "package" / "build.py", files / "tree", folder, architecture)
    facts = json.loads((files / "tree" / "_internal" / "built-from.json").read_text())
    write_parts(folder / f"carpsidecar-{architecture}.cdx.json", parts(facts, described))


def run(*command: object) -> None:
    if subprocess.run([PYTHON, *map(str, command)], check=False).returncode:
        sys.exit(1)


def checksums(folder: Path) -> None:
    """Of what a release is, and not of what `make binary` and its like have left there."""
    names = [
        "carp.yaml",
        "carpsidecar-*.cdx.json",
        "carpsidecar-image-*.tar",
        "carpsidecar-linux-*",
        "kubectl-carp-linux-*.tar.gz",
        f"carpsidecar-{version()}.tgz",
        f"carpsidecar_{version()}_*.deb",
        f"carpsidecar-ucarp_{version()}_all.deb",
        f"carpsidecar-{version()}-1.*.rpm",
    ]
    files = sorted({file for name in names for file in folder.glob(name)})
    sums = folder / "SHA256SUMS"
    sums.write_text("".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files))
    print(f"{folder}: {', '.join(file.name for file in [*files, sums])}")


def packages() -> dict[str, dict[str, Any]]:
    """The Python packages of the build, as cyclonedx-py describes them: licences, authors, addresses."""
    command = [CYCLONEDX, "environment", PYTHON, "--output-format", "JSON", "--output-file", "-"]
    described = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["components"]
    return {plain(part["name"]): part for part in described}


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def parts(facts: dict[str, Any], described: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        component("CPython", facts["python"], "framework"),
        *(described[plain(name)] for name in facts["packages"]),
        *(component(name, version, "library") for name, version in facts["within_packages"].items()),
        *(
            {**component(name, version, "library"), "purl": f"pkg:deb/debian/{name}@{version}"}
            for name, version in facts["system"].items()
        ),
    ]


def component(name: str, version: str, kind: str) -> dict[str, Any]:
    return {"type": kind, "name": name, "version": version, "bom-ref": f"{name}@{version}"}


def write_parts(file: Path, inside: list[dict[str, Any]]) -> None:
    whole = component("carpsidecar", version(), "application")
    name = json.dumps([whole, inside], sort_keys=True)
    content = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, name)}",
        "version": 1,
        "metadata": {"component": whole},
        "components": sorted(inside, key=lambda part: str(part["name"])),
    }
    file.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
