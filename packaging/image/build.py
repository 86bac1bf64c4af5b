"""Builds the container image with buildah, and writes it to a file, as a Docker archive.

usage: build.py FILE [--architecture amd64|arm64] [--files FOLDER] [PYTHON_IMAGE]

Its names are localhost/carpsidecar:VERSION and :latest. --files also writes what binary and packages are made of:
`carpsidecar`, and the folder `tree`.
Where no PYTHON_IMAGE is given, it is built on a Debian that mmdebstrap makes, so that no image registry is needed.
Another architecture than this machine's is built by emulation (qemu-user-static, binfmt-support).
"""

import argparse
import hashlib
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent.parent
WORK = SOURCE / "build"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
DEBIAN = "bookworm"
DEBIAN_PACKAGES = "python3,python3-venv,libpython3.11,binutils,gcc,libc6-dev,libzstd-dev"
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
NATIVE = MACHINES.get(platform.machine(), platform.machine())


def main() -> int:
    arguments = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1].split("\n")[0])
    arguments.add_argument("file", type=Path)
    arguments.add_argument("--architecture", choices=MACHINES.values(), default=NATIVE)
    arguments.add_argument("--files", type=Path)
    arguments.add_argument("python_image", nargs="?", default="")
    given = arguments.parse_args()
    WORK.mkdir(exist_ok=True)
    given.file.parent.mkdir(parents=True, exist_ok=True)
    base = given.python_image or debian(given.architecture)
    common = options(given.architecture, base, "missing" if given.python_image else "never")
    print(f"image: building for {given.architecture}", file=sys.stderr)
    if given.files:
        shutil.rmtree(given.files, ignore_errors=True)
        run(*common, "--target", "files", "--output", f"type=local,dest={given.files}", ".")
    # What is kept by buildah has the architecture in its name, so that one does not take the other's.
    name = f"localhost/carpsidecar-{given.architecture}:{version()}"
    run(*common, "--tag", name, ".")
    save(given.file, name)
    return 0


def version() -> str:
    return re.search(r'__version__ = "(.+)"', (SOURCE / "carpsidecar" / "__init__.py").read_text())[1]


def debian(architecture: str) -> str:
    """The name of the image of a Debian with Python, which is made once and kept."""
    name = f"localhost/carpsidecar-base:{DEBIAN}-{architecture}"
    if run("buildah", "images", "--quiet", name, may_fail=True):
        return name
    archive = Path(os.environ.get("CARPSIDECAR_ROOTS", WORK)) / f"{DEBIAN}-{architecture}.tar"
    if not archive.exists():
        print(f"image: making a Debian {DEBIAN} for {architecture} to build in", file=sys.stderr)
        unfinished = archive.with_suffix(".part.tar")
        what = [f"--architectures={architecture}", "--variant=apt", f"--include={DEBIAN_PACKAGES}"]
        run("mmdebstrap", *what, DEBIAN, str(unfinished))
        unfinished.rename(archive)
    container = run("buildah", "from", "--platform", f"linux/{architecture}", "scratch").strip()
    run("buildah", "config", "--arch", architecture, container)
    run("buildah", "add", "--quiet", container, str(archive), "/")
    run("buildah", "commit", "--quiet", "--rm", container, name)
    return name


def options(architecture: str, base: str, pull: str) -> list[str]:
    """`buildah build` with what all stages need."""
    time = run("git", "log", "-1", "--format=%ct").strip()
    arguments = {
        "PYTHON_IMAGE": base,
        "VERSION": version(),
        "COMMIT": run("git", "describe", "--always", "--dirty", "--abbrev=12").strip(),
        "SOURCE_DATE_EPOCH": time,
    }
    if index := os.environ.get("PIP_INDEX_URL"):
        arguments["PIP_INDEX_URL"] = index
    command = ["buildah", "build", "--layers", f"--pull={pull}", "--timestamp", time]
    # Which would name the version of buildah.
    command.append("--identity-label=false")
    command += ["--platform", f"linux/{architecture}", "--isolation", os.environ.get("BUILDAH_ISOLATION", "chroot")]
    if Path(CERTIFICATES).exists():
        # Ours, so that a proxy that this machine trusts is trusted in there too.
        arguments["PIP_CERT"] = CERTIFICATES
        command += ["--volume", f"{CERTIFICATES}:{CERTIFICATES}:ro"]
    for key, value in arguments.items():
        command += ["--build-arg", f"{key}={value}"]
    return command


def save(file: Path, name: str) -> None:
    """Write the archive, with the names that it is to have where it is loaded, and without its history.

    That would differ, since it says what was in buildah's cache. With --omit-history there would be no cache.
    """
    plain = file.with_suffix(".part")
    plain.unlink(missing_ok=True)
    run("buildah", "push", "--quiet", name, f"docker-archive:{plain}:{name}")
    with tarfile.open(plain) as old, tarfile.open(file, "w") as new:
        (manifest,) = json.load(old.extractfile("manifest.json"))
        config = json.load(old.extractfile(manifest["Config"]))
        config.pop("history", None)
        described = json.dumps(config).encode()
        former, manifest["Config"] = manifest["Config"], f"{hashlib.sha256(described).hexdigest()}.json"
        manifest["RepoTags"] = [f"localhost/carpsidecar:{tag}" for tag in (version(), "latest")]
        replaced = {former: (manifest["Config"], described)}
        replaced["manifest.json"] = ("manifest.json", json.dumps([manifest]).encode())
        for member in old:
            content = old.extractfile(member) if member.isfile() else None
            if member.name in replaced:
                member.name, text = replaced[member.name]
                member.size, content = len(text), io.BytesIO(text)
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
