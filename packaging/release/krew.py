"""The plugin for krew, kubectl's package manager: an archive for each architecture, and the manifest carp.yaml."""

import gzip
import hashlib
import io
import tarfile
from pathlib import Path

import assemble
import yaml

_DESCRIPTION = """\
Who holds which address, on all nodes of the cluster in one table; what differs
between them and what is wrong; and commands to move an address. For clusters
that run carpsidecar.
"""


def write(folder: Path, source: str) -> None:
    """From the binaries in this folder; `source` is the repository, whose release will have the archives."""
    platforms = []
    for binary in sorted(folder.glob("carpsidecar-linux-*")):
        architecture = binary.name.rpartition("-")[2]
        archive = folder / f"kubectl-carp-linux-{architecture}.tar.gz"
        archive.write_bytes(_archive(binary))
        platforms.append(
            {
                "selector": {"matchLabels": {"os": "linux", "arch": architecture}},
                "uri": f"{source}/releases/download/v{assemble.version()}/{archive.name}",
                "sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
                "bin": "kubectl-carp",
            }
        )
    manifest = {
        "apiVersion": "krew.googlecontainertools.github.com/v1alpha2",
        "kind": "Plugin",
        "metadata": {"name": "carp"},
        "spec": {
            "version": f"v{assemble.version()}",
            "homepage": source,
            "shortDescription": "See and steer carpsidecar on all nodes",
            "description": _DESCRIPTION,
            "platforms": platforms,
        },
    }
    (folder / "carp.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False))


def _archive(binary: Path) -> bytes:
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        license_file = assemble.SOURCE / "LICENSE"
        for name, path, mode in (("kubectl-carp", binary, 0o755), ("LICENSE", license_file, 0o644)):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.mtime = path.stat().st_size, mode, assemble.commit_time()
            tar.addfile(entry, io.BytesIO(path.read_bytes()))
    return gzip.compress(memory.getvalue(), mtime=0)
