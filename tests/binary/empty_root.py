"""A root with nothing in it but the binary, /proc, /sys and a temporary folder."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

# In a mount namespace of its own, and as the same process all along, so that signals reach the program.
_ENTER = 'mount -t proc proc "$0/proc" && mount -t sysfs sys "$0/sys" && exec chroot "$0" "$@"'


class EmptyRoot:
    """Made in this folder."""

    def __init__(self, folder: Path, binary: Path) -> None:
        self.folder = folder
        for name in ("proc", "sys", "tmp"):
            (folder / name).mkdir(parents=True)
        shutil.copy2(binary, folder / "carpsidecar")
        (folder / "ucarp").symlink_to("carpsidecar")

    def argv(self, *command: str, mount: str = "true") -> list[str]:
        """What runs this command in the root; `mount` is a shell command that comes before."""
        return ["unshare", "--mount", "sh", "-c", f"{mount} && {_ENTER}", str(self.folder), *command]

    def run(
        self, *command: str, mount: str = "true", env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "TMPDIR": "/tmp", **(env or {})}
        return subprocess.run(
            self.argv(*command, mount=mount), env=environment, capture_output=True, text=True, check=False
        )

    @property
    def leftovers(self) -> Sequence[str]:
        return sorted(path.name for path in (self.folder / "tmp").iterdir())
