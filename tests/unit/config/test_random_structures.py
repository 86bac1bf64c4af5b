"""Whatever is given, loading it makes a configuration or a ConfigError, nothing else, and shows no secret."""

import tempfile
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from carpsidecar.config.schema import GROUP_FIELDS, PROCESS_FIELDS, ConfigError
from carpsidecar.config.sources import ENVIRONMENT_PREFIX, Config, load

SECRET = "correct-horse-b"

# What comes close to a configuration gets further into the code than noise does.
PLAUSIBLE = [
    *("192.0.2.1", "192.0.2.2/24", "2001:db8::1", "fe80::1%eth0", "224.0.0.1", "ff02::1", "eth0", "web", "carp"),
    *(
        "hardened",
        "json",
        "debug",
        "/bin/true x",
        "'",
        "",
        "1",
        "300",
        "-1",
        "true",
        "nan",
        "/dev/null",
        "\0",
        "\udcff",
    ),
]
names = st.sampled_from(
    [*GROUP_FIELDS, *PROCESS_FIELDS, "groups", "load_balancer", "pools", "addresses", "<<"]
) | st.text(max_size=8)
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.dates() | st.binary(max_size=5)
) | st.sampled_from(PLAUSIBLE)
values = st.recursive(
    scalars | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names | st.integers(), inner, max_size=4),
    max_leaves=15,
)
secrets: st.SearchStrategy[dict[str, Any]] = st.sampled_from([{"passphrase": SECRET}, {"passphrase": [SECRET]}, {}])
# Never a descriptor: reading a random one could take the test runner's own input.
harmless = st.dictionaries(names.filter(lambda name: name != "passphrase_fd"), values, max_size=6)


def load_or_refuse(flags: dict[str, Any], environ: dict[str, str], file: str | None) -> None:
    result: Config | ConfigError
    try:
        result = load(flags, environ, file)
    except ConfigError as error:
        result = error
    assert SECRET not in f"{result}{result!r}"
    if isinstance(result, ConfigError):
        assert len(str(result).splitlines()) == 1
        assert len(str(result)) < 1000


def load_text(text: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "carp.yaml"
        path.write_bytes(text)
        load_or_refuse({}, {}, str(path))


@settings(max_examples=400, deadline=None)
@given(harmless, secrets, st.lists(harmless, max_size=3) | values)
def test_a_structure_as_a_file(beside: dict[str, Any], secret: dict[str, Any], groups: Any) -> None:
    content = {**beside, **secret, "groups": groups}
    content.pop("passphrase_fd", None)
    text = yaml.safe_dump(content, allow_unicode=True).encode("utf-8", "surrogatepass")
    if b"passphrase_fd" not in text:
        load_text(text)


@settings(max_examples=300, deadline=None)
@given(harmless, secrets)
def test_a_structure_as_flags(flags: dict[str, Any], secret: dict[str, Any]) -> None:
    known = {name: value for name, value in flags.items() if name in GROUP_FIELDS or name in PROCESS_FIELDS}
    load_or_refuse({"vip": "192.0.2.1", **known, **secret}, {}, None)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(names.filter(lambda name: name != "passphrase_fd"), st.sampled_from(PLAUSIBLE), max_size=8))
def test_texts_as_the_environment(variables: dict[str, str]) -> None:
    environ = {ENVIRONMENT_PREFIX + name.removesuffix("_s").upper(): text for name, text in variables.items()}
    load_or_refuse({}, {"CARP_VIP": "192.0.2.1", "CARP_PASSPHRASE": SECRET, **environ}, None)


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=60) | st.text(alphabet="vip: [](){}&*!|>'\"#%@`-\n\t,?~<=1.a\\", max_size=60).map(str.encode)
)
def test_noise_as_a_file(text: bytes) -> None:
    load_text(text + b"\npassphrase: " + SECRET.encode())
    load_text(b"passphrase: " + SECRET.encode() + b"\nvip: 192.0.2.1\nvhid: " + text)
