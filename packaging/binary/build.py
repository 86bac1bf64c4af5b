"""Builds the binary: a tree (tree.py), packed into one static executable that unpacks it.

usage: build.py FILE TREE
"""

import io
import platform
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import tree
import zstandard

LAUNCHER = tree.HERE / "launcher.c"
ROOM_FOR_LOADER = 1024
COMPRESSION_LEVEL = 19


def main() -> int:
    if len(sys.argv) != 3:
        print("usage: build.py FILE TREE", file=sys.stderr)
        return 2
    binary = Path(sys.argv[1])
    folder = tree.WORK / "packed"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(sys.argv[2], folder, symlinks=True)
    tree.make_independent(folder / "carpsidecar", "/" + "x" * ROOM_FOR_LOADER)
    loader = Path(tree.system_libraries()[0]).name
    payload = tree.WORK / "payload.tar.zst"
    plain = archive(folder)
    payload.write_bytes(zstandard.ZstdCompressor(level=COMPRESSION_LEVEL, write_checksum=True).compress(plain))
    link(payload, binary, loader, unpacked_mb=len(plain) // 1_000_000 + 2)
    size, unpacked = binary.stat().st_size / 1e6, len(plain) / 1e6
    print(f"{binary}: {size:.1f} MB for {platform.machine()}, {unpacked:.1f} MB unpacked")
    return 0


def archive(folder: Path) -> bytes:
    """A tar archive of the folder that depends on nothing but what is in it."""
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path in sorted(folder.rglob("*")):
            entry = tarfile.TarInfo(str(path.relative_to(folder)))
            if len(entry.name) > tarfile.LENGTH_NAME:
                sys.exit(f"{entry.name}: longer than the launcher can unpack")
            if path.is_dir():
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(entry)
            else:
                entry.size = path.stat().st_size
                entry.mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
                with path.open("rb") as file:
                    tar.addfile(entry, file)
    return memory.getvalue()


def link(payload: Path, binary: Path, loader: str, unpacked_mb: int) -> None:
    binary.parent.mkdir(parents=True, exist_ok=True)
    unfinished = tree.WORK / "carpsidecar"
    command = ["cc", "-static", "-Os", "-Wall", "-Wextra", "-Werror", "-s", "-Wl,--build-id=none"]
    command += [f'-DPAYLOAD="{payload.name}"', f'-DLOADER="{loader}"', f"-DUNPACKED_MB={unpacked_mb}"]
    command += ["-o", unfinished.name, str(LAUNCHER), "-lzstd"]
    if subprocess.run(command, cwd=tree.WORK, check=False).returncode:
        sys.exit("the launcher can't be built: are gcc, libc6-dev and libzstd-dev there?")
    shutil.move(unfinished, binary)


if __name__ == "__main__":
    sys.exit(main())
