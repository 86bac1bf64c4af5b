"""Pushes a release to a registry: the image as an index of all architectures, and the chart, with it by digest.

usage: publish.py REGISTRY FOLDER    (REGISTRY is HOST/PATH; FOLDER is what assemble.py filled)

REGISTRY/carpsidecar:VERSION is the image, REGISTRY/charts/carpsidecar:VERSION the chart, as `helm install
oci://REGISTRY/charts/carpsidecar` takes it. Credentials are skopeo's (`skopeo login`). PLAIN_HTTP=1: without TLS.
SOURCE_URL is where source and releases are, for the chart's metadata and krew's manifest. What was pushed, by
digest, is printed and written to FOLDER/published.json.
"""

import gzip
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import assemble
import krew
import yaml

CHART = assemble.SOURCE / "charts" / "carpsidecar"
WORK = assemble.SOURCE / "build" / "publish"
IMAGE_INDEX = "application/vnd.oci.image.index.v1+json"
IMAGE_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CHART_CONFIG = "application/vnd.cncf.helm.config.v1+json"
CHART_CONTENT = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"


def main() -> int:
    if len(sys.argv) != 3:
        print("usage: publish.py REGISTRY FOLDER", file=sys.stderr)
        return 2
    registry, folder = sys.argv[1].rstrip("/"), Path(sys.argv[2])
    version = assemble.version()
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    images = image_index(sorted(folder.glob("carpsidecar-image-*.tar")), WORK / "image")
    push(WORK / "image", f"{registry}/carpsidecar:{version}")
    published = {kind: f"{registry}/carpsidecar@{digest}" for kind, digest in images.items()}
    metadata = chart_metadata(published["image"])
    packed = pack_chart(metadata, registry, images["image"], folder / f"carpsidecar-{version}.tgz")
    chart = chart_artifact(metadata, packed, WORK / "chart")
    push(WORK / "chart", f"{registry}/charts/carpsidecar:{version}")
    published["chart"] = f"{registry}/charts/carpsidecar@{chart}"
    (folder / "published.json").write_text(json.dumps(published, indent=2) + "\n")
    if source := os.environ.get("SOURCE_URL"):
        krew.write(folder, source)
    else:
        print("publish: left out: carp.yaml: SOURCE_URL must say where the release will be", file=sys.stderr)
    assemble.checksums(folder)
    print("\n".join(f"{kind}: {name}" for kind, name in published.items()))
    return 0


def image_index(archives: list[Path], layout: Path) -> dict[str, str]:
    """An OCI layout with the images of these archives under one index; its digest, and that of each image."""
    if not archives:
        sys.exit("publish: no carpsidecar-image-*.tar: make release")
    manifests, digests = [], {}
    for archive in archives:
        architecture = archive.stem.rpartition("-")[2]
        run(
            "skopeo",
            "copy",
            "--quiet",
            "--format",
            "oci",
            f"docker-archive:{archive}",
            f"oci:{layout}:{architecture}",
        )
        [described] = json.loads((layout / "index.json").read_text())["manifests"]
        (layout / "index.json").unlink()
        digests[f"image_{architecture}"] = described["digest"]
        manifests.append(
            {key: described[key] for key in ("mediaType", "digest", "size")}
            | {"platform": {"os": "linux", "architecture": architecture}}
        )
    index = {"schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": manifests}
    return {"image": finish_layout(layout, index), **digests}


def chart_metadata(image: str) -> dict[str, Any]:
    """Chart.yaml, and what is known only now."""
    metadata: dict[str, Any] = yaml.safe_load((CHART / "Chart.yaml").read_text())
    if source := os.environ.get("SOURCE_URL"):
        metadata |= {"home": source, "sources": [source]}
    metadata["annotations"] |= {
        "artifacthub.io/images": yaml.safe_dump([{"name": "carpsidecar", "image": image}]),
        "artifacthub.io/changes": yaml.safe_dump(
            changes((assemble.SOURCE / "CHANGELOG.md").read_text()), width=1000
        ),
    }
    return metadata


def changes(log: str) -> list[str]:
    """What the newest section says, an item a line."""
    newest = log.partition("\n## ")[2].partition("\n## ")[0]
    return [" ".join(item.split()) for item in newest.split("\n- ")[1:]]


def readme(registry: str) -> str:
    """The chart's page, for those who have the chart and no checkout."""
    version = assemble.version()
    text = (CHART / "README.md").read_text()
    here, there = "helm install carp charts/carpsidecar", f"helm install carp oci://{registry}/charts/carpsidecar"
    text = text.replace(here, f"{there} --version {version}")
    if source := os.environ.get("SOURCE_URL"):
        text = text.replace("](../../", f"]({source}/blob/v{version}/")
    return text


def pack_chart(metadata: dict[str, Any], registry: str, image: str, file: Path) -> Path:
    """The chart whose image is the pushed one, as `helm package` packs it, but the same each time."""
    contents = {path.relative_to(CHART): path.read_bytes() for path in CHART.rglob("*") if path.is_file()}
    values = (CHART / "values.yaml").read_text()
    for setting, value in (("repository", f"{registry}/carpsidecar"), ("digest", image)):
        values, count = re.subn(rf"(?m)^(  {setting}:) .*$", rf"\1 {value}", values)
        if count != 1:
            sys.exit(f"publish: {CHART / 'values.yaml'}: {count} lines say {setting}: one must, below `image`")
    contents[Path("values.yaml")] = values.encode()
    contents[Path("README.md")] = readme(registry).encode()
    contents[Path("Chart.yaml")] = yaml.safe_dump(metadata, sort_keys=False).encode()
    contents[Path("LICENSE")] = (assemble.SOURCE / "LICENSE").read_bytes()
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path, content in sorted(contents.items()):
            entry = tarfile.TarInfo(f"carpsidecar/{path}")
            entry.size, entry.mode, entry.mtime = len(content), 0o644, assemble.commit_time()
            tar.addfile(entry, io.BytesIO(content))
    file.write_bytes(gzip.compress(memory.getvalue(), mtime=0))
    return file


def chart_artifact(metadata: dict[str, Any], packed: Path, layout: Path) -> str:
    """An OCI layout with the chart; its manifest's digest."""
    manifest = {
        "schemaVersion": 2,
        "mediaType": IMAGE_MANIFEST,
        "config": {"mediaType": CHART_CONFIG, **blob(layout, json.dumps(metadata).encode())},
        "layers": [{"mediaType": CHART_CONTENT, **blob(layout, packed.read_bytes())}],
        "annotations": {
            "org.opencontainers.image.title": metadata["name"],
            "org.opencontainers.image.version": metadata["version"],
            "org.opencontainers.image.description": metadata["description"],
        },
    }
    return finish_layout(layout, manifest)


def blob(layout: Path, content: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    path = layout / "blobs" / "sha256" / digest
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return {"digest": f"sha256:{digest}", "size": len(content)}


def finish_layout(layout: Path, top: dict[str, Any]) -> str:
    described = blob(layout, json.dumps(top).encode())
    index = {"schemaVersion": 2, "manifests": [{"mediaType": top["mediaType"], **described}]}
    (layout / "index.json").write_text(json.dumps(index))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return str(described["digest"])


def push(layout: Path, name: str) -> None:
    flags = ["--dest-tls-verify=false"] if os.environ.get("PLAIN_HTTP") else []
    run("skopeo", "copy", "--quiet", "--all", "--preserve-digests", *flags, f"oci:{layout}", f"docker://{name}")


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{done.stderr[-3000:]}\npublish: {' '.join(command[:2])} failed")


if __name__ == "__main__":
    sys.exit(main())
