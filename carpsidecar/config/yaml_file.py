"""Reading a YAML file; apart, so that a run without a file does not import a YAML parser."""

from pathlib import Path
from typing import Any

import yaml

from carpsidecar.config.schema import ConfigError

_SIZE_MAX = 4 << 20


class _Loader(yaml.SafeLoader):
    """A loader to which a key that is given twice is an error: YAML would keep the last, without a word."""


def _mapping_without_repeats(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} is given twice", key.start_mark)
            seen.add(key.value)
    loader.flatten_mapping(node)
    return dict(loader.construct_pairs(node, deep=True))


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping_without_repeats)

# PyYAML's constructors let these through for a value that does not fit its tag, and for a key that is no scalar.
_BROKEN = (yaml.YAMLError, ValueError, TypeError, KeyError, IndexError, AttributeError)


def _problem(error: Exception) -> str:
    problem = getattr(error, "problem", None) or "a value, key or character that can't be read"
    # PyYAML would show a passphrase without quotes that begins with one of these.
    for kind, sign in (("alias", "*"), ("tag", "!"), ("anchor", "&")):
        if kind in problem:
            return f"{sign} begins a YAML {kind}: put the value in quotes"
    return str(problem)


def read_mapping(path: Path) -> dict[Any, Any]:
    """The mapping that the file holds.

    Raises:
        ConfigError: it can't be read, is not YAML, or holds something else.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_SIZE_MAX + 1)
        if len(text) > _SIZE_MAX:
            raise ConfigError(f"{path}: larger than {_SIZE_MAX >> 20} MiB: give a configuration file")
        content = yaml.load(text, _Loader)  # noqa: S506 (a SafeLoader)
    except OSError as error:
        raise ConfigError(f"{path}: can't be read ({error.strerror}): check the path and its permissions") from None
    except RecursionError:
        raise ConfigError(f"{path}: nested too deeply: give settings and their values") from None
    except _BROKEN as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{where}: not valid YAML: {_problem(error)}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: holds no settings: give lines such as `vip: 192.0.2.100`")
    return content
