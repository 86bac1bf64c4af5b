"""Builds the tree: the program, its interpreter and every shared library it needs, the C library too.

usage: tree.py FOLDER    (which must not be there yet)

Nothing of the machine that it will run on is used: the executable names the C library's loader by the path that the
tree will have, which is /usr/lib/carpsidecar; in the binary's copy of it (build.py) that is another. Two builds of
one commit are equal byte for byte.
"""

import ast
import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parent.parent
SPEC = SOURCE / "cmd" / "carpsidecar" / "carpsidecar.spec"
WORK = SOURCE / "build" / "binary"
INSTALLED = "/usr/lib/carpsidecar"
# What the binary's launcher is linked with, as Debian names it.
LAUNCHER = ("libc6-dev", "libzstd-dev")
LICENSE = re.compile(r"(LICEN[CS]E|COPYING|NOTICE)", re.IGNORECASE)
LIBRARIES = ("cryptography", "h11", "kubernetes", "msgspec", "prometheus-client", "pyroute2", "pyyaml")


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: tree.py FOLDER", file=sys.stderr)
        return 2
    build(Path(sys.argv[1]))
    return 0


def build(folder: Path) -> None:
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    facts = WORK / "built-from.json"
    facts.touch()
    loader, libc = system_libraries()
    environment = {
        **os.environ,
        "PYTHONHASHSEED": "1",
        # Whether bytecode was there already shows in what is written: so there is none.
        "PYTHONPYCACHEPREFIX": str(WORK / "no-bytecode"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "SOURCE_DATE_EPOCH": str(commit_time()),
        "PYINSTALLER_CONFIG_DIR": str(WORK / "cache"),
        "CARPSIDECAR_BUILT_FROM": str(facts),
        "CARPSIDECAR_LOADER": loader,
        "CARPSIDECAR_LIBC": libc,
    }
    command = [sys.executable, "-m", "PyInstaller", "--noconfirm", "--clean", "--log-level", "ERROR"]
    command += ["--distpath", str(WORK / "dist"), "--workpath", str(WORK / "work"), str(SPEC)]
    run(command, env=environment)
    tree = WORK / "dist" / "carpsidecar"
    name = Path(loader).name
    forget_build_machine(tree)
    check_imports(tree, name)
    parts = built_from()
    (tree / "_internal" / facts.name).write_text(json.dumps(parts, indent=2) + "\n")
    (tree / "_internal" / "LICENSES").write_text(licenses(parts["packages"], parts["system"]))
    make_independent(tree / "carpsidecar", f"{INSTALLED}/_internal/{name}")
    shutil.copytree(tree, folder, symlinks=True)
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


def built_from() -> dict[str, Any]:
    """What `carpsidecar version` tells, and what a list of parts is made from."""
    return {
        "commit": os.environ.get("CARPSIDECAR_COMMIT") or git("describe", "--always", "--dirty", "--abbrev=12"),
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "python": platform.python_version(),
        "packages": python_packages(),
        "within_packages": libraries_within_packages(),
        "system": system_packages() | {name: debian_version(name) for name in LAUNCHER if debian_version(name)},
    }


def python_packages() -> dict[str, str]:
    """The packages of which the tree has a module."""
    contents = ast.literal_eval((WORK / "work" / "carpsidecar" / "PYZ-00.toc").read_text())[1]
    modules = {name.partition(".")[0] for name, _, _ in contents}
    modules |= {path.name.partition(".")[0] for path in (WORK / "dist" / "carpsidecar" / "_internal").iterdir()}
    owners = importlib.metadata.packages_distributions()
    names = {owner for module in modules for owner in owners.get(module, ())} - {"setuptools"}
    return {name: importlib.metadata.version(name) for name in sorted(names)}


def libraries_within_packages() -> dict[str, str]:
    """What cryptography and PyYAML bring along, linked into their own modules."""
    import yaml._yaml
    from cryptography.hazmat.backends.openssl.backend import backend

    return {"OpenSSL": backend.openssl_version_text().split()[1], "libyaml": yaml._yaml.get_version_string()}


def system_packages() -> dict[str, str]:
    """The packages of this machine that the other shared libraries are from, where it is a Debian or its like."""
    taken = ast.literal_eval((WORK / "work" / "carpsidecar" / "COLLECT-00.toc").read_text())[0]
    files = {
        str(Path(file).resolve()) for _, file, kind in taken if kind == "BINARY" and "/site-packages/" not in file
    }
    found = {}
    for file in sorted(files):
        # The package's own list may have it below /lib where it is now below /usr/lib.
        for path in (file, file.removeprefix("/usr")):
            for line in output("dpkg-query", "--search", path).splitlines():
                name = line.partition(": ")[0]
                found[name.partition(":")[0]] = debian_version(name)
    return dict(sorted(found.items()))


def debian_version(name: str) -> str:
    return output("dpkg-query", "--show", "--showformat", "${Version}", name)


def licenses(packages: dict[str, str], system: dict[str, str]) -> str:
    """The terms of everything that is in the tree or in the launcher."""
    files = {"CPython": [Path(sysconfig.get_path("stdlib"), "LICENSE.txt")]}
    for name in packages:
        inside = importlib.metadata.files(name) or ()
        files[name] = [Path(file.locate()) for file in inside if LICENSE.match(file.name)]
    for name in system:
        files[name] = [Path("/usr/share/doc", name, "copyright")]
    texts = {
        name: "\n\n".join(path.read_text(errors="replace") for path in paths if path.is_file())
        for name, paths in sorted(files.items())
    }
    line = "=" * 100
    return "".join(f"{line}\n{name}\n{line}\n\n{text}\n\n" for name, text in texts.items() if text)


def commit_time() -> int:
    return int(os.environ.get("SOURCE_DATE_EPOCH") or git("log", "-1", "--format=%ct") or 0)


def git(*arguments: str) -> str:
    return output("git", "-C", str(SOURCE), *arguments)


def output(*command: str) -> str:
    """What it printed; nothing where it failed, or is not there."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except FileNotFoundError:
        return ""


def system_libraries() -> tuple[str, str]:
    """The loader and the C library that this Python runs on."""
    command = [patchelf(), "--print-interpreter", sys.executable]
    interpreter = subprocess.run(command, capture_output=True, text=True, check=False)
    loader = interpreter.stdout.strip()
    mapped = re.search(r"^.* (/\S*/libc\.so\.6|/\S*/libc-2\.\d+\.so)$", Path("/proc/self/maps").read_text(), re.M)
    if interpreter.returncode or mapped is None:
        sys.exit(f"{sys.executable}: not a Python on the GNU C library: give one, such as Debian's")
    return loader, mapped[1]


def check_imports(tree: Path, loader: str) -> None:
    """Run the second executable that the specification makes, in the tree and on its libraries."""
    checker = tree / "imports"
    shutil.copy2(WORK / "work" / "carpsidecar" / "imports", checker)
    internal = tree / "_internal"
    run([str(internal / loader), "--library-path", str(internal), str(checker)])
    checker.unlink()


def forget_build_machine(tree: Path) -> None:
    """Take out of the libraries where the build's Python has its own: nothing is to be looked for there."""
    for library in sorted(path for path in tree.rglob("*.so*") if not path.is_symlink()):
        if output(patchelf(), "--print-rpath", str(library)).startswith("/"):
            run([patchelf(), "--remove-rpath", str(library)])


def make_independent(executable: Path, loader: str) -> None:
    """Have the executable use this loader, and the libraries beside it."""
    where = "$ORIGIN/_internal"
    run([patchelf(), "--set-interpreter", loader, "--force-rpath", "--set-rpath", where, str(executable)])


def patchelf() -> str:
    return str(Path(sys.executable).parent / "patchelf")


def run(command: list[str], **how: object) -> None:
    done = subprocess.run(command, check=False, **how)
    if done.returncode:
        sys.exit(f"{Path(command[0]).name} failed: exit status {done.returncode}")


if __name__ == "__main__":
    sys.exit(main())
