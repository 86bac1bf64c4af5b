"""Completes a release: the lists of parts (CycloneDX) of the binary and of the image, and the checksums.

usage: build.py FOLDER    (which has the binary, the image and the package)
"""

import hashlib
import json
import re
import subprocess
import sys
import tarfile
import uuid
from pathlib import Path
from typing import IO, Any, cast

SOURCE = Path(__file__).resolve().parent.parent.parent
CYCLONEDX = SOURCE / "build" / "release-venv" / "bin" / "cyclonedx-py"
FACTS = "built-from.json"
# What is linked into the launcher, as Debian names it.
LAUNCHER = ("libc6-dev", "libzstd-dev")


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: build.py FOLDER", file=sys.stderr)
        return 2
    folder = Path(sys.argv[1])
    version = re.search(r'__version__ = "(.+)"', (SOURCE / "carpsidecar" / "__init__.py").read_text())[1]
    described = packages()
    binary = json.loads((SOURCE / "build" / "binary" / "tree" / "_internal" / FACTS).read_text())
    binary["system"] |= {name: debian_version(name) for name in LAUNCHER}
    write(folder / "carpsidecar.cdx.json", "application", version, parts(binary, described))
    image = facts_of_image(folder / "carpsidecar-image.tar")
    write(folder / "carpsidecar-image.cdx.json", "container", version, parts(image, described))
    sums = folder / "SHA256SUMS"
    files = sorted(path for path in folder.iterdir() if path.is_file() and path != sums)
    sums.write_text("".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files))
    print(f"{folder}: {', '.join(file.name for file in [*files, sums])}")
    return 0


def packages() -> dict[str, dict[str, Any]]:
    """The Python packages of the build, as cyclonedx-py describes them: licences, authors, addresses."""
    command = [CYCLONEDX, "environment", sys.executable, "--output-format", "JSON", "--output-file", "-"]
    described = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["components"]
    return {plain(part["name"]): part for part in described}


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def facts_of_image(archive: Path) -> dict[str, Any]:
    """What the build in the image wrote down: it may have another Python and another Debian than this machine."""
    with tarfile.open(archive) as image:
        (manifest,) = json.load(cast(IO[bytes], image.extractfile("manifest.json")))
        for layer in manifest["Layers"]:
            with tarfile.open(fileobj=image.extractfile(layer)) as files:
                for file in files:
                    if Path(file.name).name == FACTS:
                        return cast(dict[str, Any], json.load(cast(IO[bytes], files.extractfile(file))))
    sys.exit(f"{archive}: no {FACTS} in it: build it by `make image`")


def parts(facts: dict[str, Any], described: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        component("CPython", facts["python"], "framework"),
        *(described[plain(name)] for name in facts["packages"]),
        *(
            {**component(name, version, "library"), "purl": f"pkg:deb/debian/{name}@{version}"}
            for name, version in facts["system"].items()
        ),
    ]


def debian_version(name: str) -> str:
    command = ["dpkg-query", "--show", "--showformat", "${Version}", name]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def component(name: str, version: str, kind: str) -> dict[str, Any]:
    return {"type": kind, "name": name, "version": version, "bom-ref": f"{name}@{version}"}


def write(file: Path, kind: str, version: str, inside: list[dict[str, Any]]) -> None:
    whole = component("carpsidecar", version, kind)
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
