"""What is in the image, and in a release's list of parts; for each architecture, since nothing of it is run."""

import json
import re

import pytest

from carpsidecar import __version__
from tests.binary.conftest import NATIVE, OF_A_RELEASE, built
from tests.binary.image import Image

UNPACKED_MAX = 45_000_000
IMAGES = {one: f"carpsidecar-image-{one}.tar" for one in ("amd64", "arm64")}
IMAGES = IMAGES if OF_A_RELEASE else {NATIVE: "carpsidecar-image.tar"}
INTERNAL = "usr/lib/carpsidecar/_internal"
OF_PACKAGES = {
    **dict.fromkeys(("libc", "libdl", "libm", "libpthread", "librt", "libutil"), "libc6"),
    **dict.fromkeys(("libcrypto", "libssl"), "libssl3"),
    "libbz2": "libbz2-1.0",
    "libexpat": "libexpat1",
    "libffi": "libffi8",
    "libgcc_s": "libgcc-s1",
    "liblzma": "liblzma5",
    "libpython3.11": "libpython3.11",
    "libuuid": "libuuid1",
    "libz": "zlib1g",
}
"""The Debian package of each shared library that came from the system."""


@pytest.fixture(scope="module", params=IMAGES)
def architecture(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def image(architecture: str) -> Image:
    return Image(built(IMAGES[architecture]))


def test_it_is_small_and_has_no_shell(image: Image) -> None:
    files = image.files
    assert sum(file.size for file in files.values()) <= UNPACKED_MAX
    assert {name for name in files if "/" not in name} == {"carpsidecar", "etc", "ucarp", "tmp", "usr"}
    programs = [name for name, file in files.items() if file.isfile() and file.mode & 0o100 and ".so" not in name]
    assert programs == ["usr/lib/carpsidecar/carpsidecar"]
    # For kubectl exec POD -- carpsidecar status.
    assert files["usr/bin/carpsidecar"].linkname == "../lib/carpsidecar/carpsidecar"


def test_it_says_what_it_is(image: Image, architecture: str) -> None:
    assert image.manifest["RepoTags"] == [f"localhost/carpsidecar:{__version__}", "localhost/carpsidecar:latest"]
    assert (image.config["os"], image.config["architecture"]) == ("linux", architecture)
    # It would differ from build to build.
    assert not image.config.get("history")
    config = image.config["config"]
    assert config["Entrypoint"] == ["/carpsidecar"]
    assert config["Cmd"] == ["run"]
    assert config["User"] == "0:0"
    assert config["Labels"]["org.opencontainers.image.version"] == __version__


def test_it_has_a_user_for_the_reporter(image: Image) -> None:
    """By the number that docs and chart may name: an image has no package manager to choose one."""
    users = image.content("etc/passwd").decode()
    assert "\ncarpsidecar:x:64112:64112:" in users
    assert users.startswith("root:x:0:0:")


@pytest.mark.skipif(not OF_A_RELEASE, reason="a release has the list of parts: make release-test")
def test_every_part_is_listed_and_has_its_licence(image: Image, architecture: str) -> None:
    listed = json.loads(built(f"carpsidecar-{architecture}.cdx.json").read_text())
    assert listed["metadata"]["component"]["version"] == __version__
    versions = {part["name"]: part["version"] for part in listed["components"]}
    facts = json.loads(image.content(f"{INTERNAL}/built-from.json"))
    within = facts["within_packages"]
    assert versions == {"CPython": facts["python"]} | facts["packages"] | facts["system"] | within
    assert within.keys() == {"OpenSSL", "libyaml"}

    licences = image.content(f"{INTERNAL}/LICENSES").decode()
    assert set(re.findall(r"^={100}\n(.+)\n={100}$", licences, re.MULTILINE)) == versions.keys() - within

    names = {name.removeprefix(f"{INTERNAL}/").split("/")[0] for name in image.files if name.startswith(INTERNAL)}
    libraries = {name.partition(".so")[0] for name in names if re.fullmatch(r"lib.*\.so\.[\d.]+", name)}
    assert {OF_PACKAGES[name] for name in libraries} <= facts["system"].keys()
