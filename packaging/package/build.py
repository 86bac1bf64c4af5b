"""Builds the packages by nfpm, deb and rpm, from a tree (packaging/binary/tree.py).

usage: build.py TREE FOLDER [ARCHITECTURE]
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
HERE = SOURCE / "packaging" / "package"
STAGE = SOURCE / "build" / "package"
NFPM = SOURCE / "build" / "release-venv" / "bin" / "nfpm"
RPM_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
MACHINES = {machine: architecture for architecture, machine in RPM_MACHINES.items()}
MAINTAINER = "carpsidecar <carpsidecar@localhost>"


def main() -> int:
    if len(sys.argv) not in (3, 4):
        print("usage: build.py TREE FOLDER [ARCHITECTURE]", file=sys.stderr)
        return 2
    tree, folder = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    architecture = sys.argv[3] if len(sys.argv) == 4 else MACHINES[platform.machine()]
    version = re.search(r'__version__ = "(.+)"', (SOURCE / "carpsidecar" / "__init__.py").read_text())[1]
    time = os.environ.get("SOURCE_DATE_EPOCH") or output("git", "log", "-1", "--format=%ct")
    stage(tree, int(time))
    folder.mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ,
        "SOURCE_DATE_EPOCH": time,
        "ARCHITECTURE": architecture,
        "VERSION": version,
        "STAGE": str(STAGE),
        "MAINTAINER": os.environ.get("MAINTAINER", MAINTAINER),
    }
    machine = RPM_MACHINES[architecture]
    nfpm("nfpm.yaml", "deb", folder / f"carpsidecar_{version}_{architecture}.deb", environment)
    nfpm("nfpm.yaml", "rpm", folder / f"carpsidecar-{version}-1.{machine}.rpm", environment)
    nfpm("nfpm-ucarp.yaml", "deb", folder / f"carpsidecar-ucarp_{version}_all.deb", environment)
    return 0


def nfpm(config: str, packager: str, package: Path, environment: dict[str, str]) -> None:
    command = [NFPM, "package", "--config", HERE / config, "--packager", packager, "--target", package]
    done = subprocess.run(command, cwd=SOURCE, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{package.name}: nfpm failed: {done.stdout}{done.stderr}")
    print(f"{package}: {package.stat().st_size / 1e6:.1f} MB")


def stage(tree: Path, time: int) -> None:
    """What is made for the packages: the program's folder, completions and the packed manual, all of one age."""
    shutil.rmtree(STAGE, ignore_errors=True)
    shutil.copytree(tree, STAGE / "lib", symlinks=True)
    python = SOURCE / "build" / "venv" / "bin" / "python"
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    share = STAGE / "share"
    subprocess.run(
        [python, SOURCE / "packaging" / "completions.py", share / "completions"], env=environment, check=True
    )
    pages = sorted((SOURCE / "docs" / "man").glob("*.8"))
    for source, packed in [
        *((page, share / "man" / f"{page.name}.gz") for page in pages),
        (SOURCE / "CHANGELOG.md", share / "doc" / "changelog.gz"),
    ]:
        packed.parent.mkdir(exist_ok=True)
        packed.write_bytes(gzip.compress(source.read_bytes(), mtime=0))
    for path in [STAGE, *STAGE.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        os.utime(path, (time, time), follow_symlinks=False)


def output(*command: str) -> str:
    return subprocess.run(command, cwd=SOURCE, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
