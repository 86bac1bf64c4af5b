"""Builds the container image with buildah and writes it to a file, as a Docker archive.

usage: build.py FILE [PYTHON_IMAGE]

Its names are localhost/carpsidecar:VERSION and :latest. Where no PYTHON_IMAGE is given, it is built on a Debian
that mmdebstrap makes, so that no image registry is needed.
"""

import io
import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent.parent
WORK = SOURCE / "build"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
DEBIAN = "bookworm"
DEBIAN_PACKAGES = "python3,python3-venv,libpython3.11,binutils"
BASE = f"localhost/carpsidecar-base:{DEBIAN}"


def main() -> int:
    if len(sys.argv) not in (2, 3):
        print("usage: build.py FILE [PYTHON_IMAGE]", file=sys.stderr)
        return 2
    file = Path(sys.argv[1])
    WORK.mkdir(exist_ok=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    given = sys.argv[2] if len(sys.argv) == 3 else ""
    if not given:
        make_base()
    version = re.search(r'__version__ = "(.+)"', (SOURCE / "carpsidecar" / "__init__.py").read_text())[1]
    build(f"localhost/carpsidecar:{version}", version, given or BASE, "missing" if given else "never")
    save(file, version)
    return 0


def make_base() -> None:
    """A Debian with Python, kept for the next time."""
    if run("buildah", "images", "--quiet", BASE, may_fail=True):
        return
    print(f"image: making a Debian {DEBIAN} to build in", file=sys.stderr)
    archive = WORK / "base.tar"
    run("mmdebstrap", "--variant=apt", f"--include={DEBIAN_PACKAGES}", DEBIAN, str(archive))
    container = run("buildah", "from", "scratch").strip()
    run("buildah", "add", "--quiet", container, str(archive), "/")
    run("buildah", "commit", "--quiet", "--rm", container, BASE)
    archive.unlink()


def build(name: str, version: str, base: str, pull: str) -> None:
    print("image: building", file=sys.stderr)
    time = run("git", "log", "-1", "--format=%ct").strip()
    arguments = {
        "PYTHON_IMAGE": base,
        "VERSION": version,
        "COMMIT": run("git", "describe", "--always", "--dirty", "--abbrev=12").strip(),
        "SOURCE_DATE_EPOCH": time,
    }
    if index := os.environ.get("PIP_INDEX_URL"):
        arguments["PIP_INDEX_URL"] = index
    command = ["buildah", "build", "--layers", f"--pull={pull}", "--timestamp", time, "--tag", name]
    command += ["--isolation", os.environ.get("BUILDAH_ISOLATION", "chroot")]
    if Path(CERTIFICATES).exists():
        # Ours, so that a proxy that this machine trusts is trusted in there too.
        arguments["PIP_CERT"] = CERTIFICATES
        command += ["--volume", f"{CERTIFICATES}:{CERTIFICATES}:ro"]
    for key, value in arguments.items():
        command += ["--build-arg", f"{key}={value}"]
    run(*command, ".")


def save(file: Path, version: str) -> None:
    """Write the archive; buildah puts one name in it, and `latest` is added here."""
    name = f"localhost/carpsidecar:{version}"
    plain = WORK / "image.tar"
    plain.unlink(missing_ok=True)
    run("buildah", "push", "--quiet", name, f"docker-archive:{plain}:{name}")
    with tarfile.open(plain) as old, tarfile.open(file, "w") as new:
        for member in old:
            content = old.extractfile(member)
            if member.name == "manifest.json" and content is not None:
                (manifest,) = json.load(content)
                manifest["RepoTags"] = [name, "localhost/carpsidecar:latest"]
                text = json.dumps([manifest]).encode()
                member.size = len(text)
                content = io.BytesIO(text)
            new.addfile(member, content)
    plain.unlink()


def run(*command: str, may_fail: bool = False) -> str:
    done = subprocess.run(command, cwd=SOURCE, capture_output=True, text=True, check=False)
    if done.returncode and not may_fail:
        sys.exit(f"{done.stdout[-3000:]}{done.stderr[-3000:]}\nimage: {' '.join(command[:2])} failed")
    return "" if done.returncode else done.stdout


if __name__ == "__main__":
    try:
        sys.exit(main())
    except FileNotFoundError as error:
        sys.exit(f"image: {error.filename}: not there: install buildah and mmdebstrap")
