"""The configuration of the engine that runs on this machine, for commands that were given none."""

from collections.abc import Mapping
from typing import Any

from carpsidecar.config.schema import FILE_ONLY, ConfigError
from carpsidecar.config.sources import CONFIG_VARIABLE, ENVIRONMENT_PREFIX, Config, load


def load_given_or_running(flags: Mapping[str, Any], environ: Mapping[str, str], file: str | None) -> Config:
    """What was given; where that names no address, what the engine here runs with, and what was given above it.

    Raises:
        ConfigError: as `load`, or no engine reports its configuration.
    """
    given = file or environ.get(CONFIG_VARIABLE) or flags.get("vip") or environ.get(f"{ENVIRONMENT_PREFIX}VIP")
    return load(flags, environ, file, None if given else running_document())


def running_document() -> dict[str, Any]:
    """Of all engines of this machine, as one file could say it.

    Raises:
        ConfigError: there is none, it may not be queried, or has too many groups to report them.
    """
    from carpsidecar.status.client import NoEngine, send
    from carpsidecar.status.requests import Configured, Request

    try:
        replies = send(Request(type="configuration"), None).replies
    except NoEngine as error:
        raise ConfigError(f"vip: none is given, and {error}; or give --config FILE, or --vip ADDRESS") from None
    documents = [reply.answer.document for reply in replies if isinstance(reply.answer, Configured)]
    documents = [document for document in documents if document.get("groups") or document.get("load_balancer")]
    if not documents:
        raise ConfigError("vip: none is given, and the engine here did not report its configuration: give --config")
    first = {name: value for name, value in documents[0].items() if name not in FILE_ONLY}
    checks = [check for document in documents for check in document.get("checks", [])]
    groups = [group for document in documents for group in document.get("groups", [])]
    services = next((document for document in documents if document.get("load_balancer")), {})
    found = {"groups": groups, "checks": checks, "load_balancer": services.get("load_balancer")}
    return {**first, **services, **{name: value for name, value in found.items() if value}}
