"""`carpsidecar manifest`: the static pod for the API server's own address, for control planes of each kind."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from msgspec import Struct

from carpsidecar import __version__
from carpsidecar.cli.errors import complain
from carpsidecar.cli.flags import add_settings
from carpsidecar.cli.parser import Parser, subcommand
from carpsidecar.config.passphrase import PASSPHRASE_FIELDS
from carpsidecar.config.schema import GROUP_FIELDS, PROCESS_FIELDS
from carpsidecar.config.sources import flag_name, load

_USAGE = """\
usage: carpsidecar manifest pod --distro DISTRO --vip ADDRESS [OPTION...]

  pod     print the static pod for the API server's own address

exit status: 0, or 2 where the configuration can't be used
example: carpsidecar manifest pod --distro kubeadm --vip 192.0.2.100"""

_EPILOG = """\
What `carpsidecar run` takes, this takes too, and puts it into the manifest. Where nothing is given it has auth
hardened, advskew auto, preempt, and http 127.0.0.1:9112; and always a check of the API server beside it. The
passphrase is not in it: that is a file on each control plane, which the manifest's head names.

exit status:
  0    printed
  2    the command line or the configuration can't be used

example:
  carpsidecar manifest pod --distro kubeadm --vip 192.0.2.100 > /etc/kubernetes/manifests/carpsidecar.yaml
"""

IMAGE = f"localhost/carpsidecar:{__version__}"
_PORT = 6443
_CONFIG, _PASSPHRASE, _STATE = "/etc/carpsidecar", "/etc/carpsidecar-passphrase", "/var/lib/carpsidecar"
_CONFIG_ANNOTATION = "carpsidecar.io/config"
_ANNOTATION = {"fieldPath": f"metadata.annotations['{_CONFIG_ANNOTATION}']"}


class Distro(Struct, frozen=True):
    """Where a distribution of Kubernetes has what matters here.

    Where anonymous requests are refused, no health of the API server can be asked for without credentials: then
    `authority` is empty, and the check is a connection.
    """

    manifests: str
    authority: str = ""
    passphrase_file: str = "/etc/carpsidecar/passphrase"  # noqa: S105


DISTROS = {
    "kubeadm": Distro("/etc/kubernetes/manifests", "/etc/kubernetes/pki/ca.crt"),
    "k3s": Distro("/var/lib/rancher/k3s/agent/pod-manifests"),
    "rke2": Distro("/var/lib/rancher/rke2/agent/pod-manifests"),
    "talos": Distro("the machine configuration", passphrase_file="/var/lib/carpsidecar/passphrase"),  # noqa: S106
}


def main(argv: Sequence[str]) -> int:
    return subcommand(argv, "carpsidecar manifest", _USAGE, {"pod": pod})


def pod_parser() -> Parser:
    options = Parser(
        prog="carpsidecar manifest pod",
        description="Print a static pod that runs without the API server, for the API server's own address.",
        epilog=_EPILOG,
    )
    options.add_argument("--distro", choices=DISTROS, required=True, help="what the control planes are")
    options.add_argument("--image", metavar="IMAGE", default=IMAGE, help="the image (default: %(default)s)")
    add_settings(options)
    return options


def pod(argv: Sequence[str]) -> int:
    options = pod_parser()
    given = options.read(argv)
    distro, image = given.pop("distro"), given.pop("image")
    if given.pop("config") is not None:
        options.error("--config: give the settings as flags: the manifest has them all")
    for name in PASSPHRASE_FIELDS:
        if given[name] is not None:
            where = DISTROS[distro].passphrase_file
            options.error(f"{flag_name(name)}: leave it out: each control plane has it in {where}")
    settings = settings_of(DISTROS[distro], {name: value for name, value in given.items() if value is not None})
    sys.stdout.write(manifest(distro, image, settings))
    return 0


def settings_of(distro: Distro, given: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration file that the pod has: what was given, and ours where nothing was.

    Raises:
        ConfigError: it can't be used.
    """
    ours = {"auth": "hardened", "advskew": "auto", "preempt": True, "http": "127.0.0.1:9112"}
    # The passphrase is on the nodes, and any will do here.
    config = load({**ours, **given, "passphrase": "unused"}, {})
    for warning in config.warnings:
        if not warning.startswith("--passphrase"):
            complain(f"warning: {warning}", "carpsidecar manifest pod")
    [group] = config.document["groups"]
    document = {**config.document, **group}
    wanted = {"vip", *ours, *given}
    settings = {name: document[name] for name in (*GROUP_FIELDS, *PROCESS_FIELDS) if name in wanted}
    check: dict[str, Any] = {"name": "api-server", "interval_s": 1, "timeout_s": 1, "fall": 2, "rise": 3}
    if distro.authority:
        check["http"] = f"https://127.0.0.1:{_PORT}/readyz"
    else:
        check["tcp"] = f"127.0.0.1:{_PORT}"
    return {**settings, "passphrase_file": _PASSPHRASE, "checks": [check]}


def manifest(distro: str, image: str, settings: Mapping[str, Any]) -> str:
    """The static pod as YAML, under what there is to do with it."""
    where = DISTROS[distro]
    content: dict[str, Any] = _pod(where, image, settings)
    lines = [
        f"# carpsidecar {__version__}, for the API server's own address on {distro}: docs/recipes/api-server.md."
    ]
    if distro == "talos":
        put = f'{{path: {where.passphrase_file}, op: create, permissions: 0o600, content: "the passphrase"}}'
        content = {"machine": {"pods": [content]}}
        lines += [
            "# A patch for every control plane: talosctl patch machineconfig --patch @FILE",
            "# The passphrase:",
        ]
        lines += [f"#   machine: {{files: [{put}]}}"]
    else:
        lines += [
            f"# On every control plane: this as {where.manifests}/carpsidecar.yaml, and the passphrase in",
            f"# {where.passphrase_file}, readable by root only.",
        ]
    return "\n".join(lines) + "\n---\n" + str(yaml.dump(content, Dumper=_Dumper, sort_keys=False))


class _Dumper(yaml.SafeDumper):
    """As people write it: no aliases, and several lines as they are."""

    def ignore_aliases(self, data: object) -> bool:
        return True


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
    ),
)


def _pod(distro: Distro, image: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    host, _, port = str(settings["http"]).rpartition(":")
    health = {"httpGet": {"host": host.strip("[]"), "port": int(port), "path": "/healthz"}}
    volumes: list[tuple[str, str, bool, dict[str, Any]]] = [
        (
            "config",
            _CONFIG,
            True,
            {"downwardAPI": {"items": [{"path": "carpsidecar.yaml", "fieldRef": _ANNOTATION}]}},
        ),
        ("passphrase", _PASSPHRASE, True, {"hostPath": {"path": distro.passphrase_file, "type": "File"}}),
        ("run", "/run/carpsidecar", False, {"emptyDir": {"sizeLimit": "1Mi"}}),
        ("state", "/var/lib/carpsidecar", False, {"hostPath": {"path": _STATE, "type": "DirectoryOrCreate"}}),
        ("tmp", "/tmp", False, {"emptyDir": {"sizeLimit": "16Mi"}}),  # noqa: S108
    ]
    if distro.authority:
        authority = {"hostPath": {"path": distro.authority, "type": "File"}}
        volumes.insert(2, ("authority", distro.authority, True, authority))
    container = {
        "name": "carpsidecar",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": ["run", "--config", f"{_CONFIG}/carpsidecar.yaml"],
        "securityContext": {
            "runAsUser": 0,
            "runAsGroup": 0,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW"]},
        },
        "startupProbe": {**health, "periodSeconds": 1, "timeoutSeconds": 2, "failureThreshold": 60},
        # Patient: an engine that hangs has lost the address long before.
        "livenessProbe": {**health, "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 12},
        "resources": {"requests": {"cpu": "10m", "memory": "90Mi"}, "limits": {"memory": "150Mi"}},
        "volumeMounts": [
            {"name": name, "mountPath": path, "readOnly": read_only} for name, path, read_only, _ in volumes
        ],
    }
    if distro.authority:
        # Whom the check believes that it is the API server.
        container["env"] = [{"name": "SSL_CERT_FILE", "value": distro.authority}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "carpsidecar",
            "namespace": "kube-system",
            "labels": {
                "app.kubernetes.io/name": "carpsidecar",
                "app.kubernetes.io/component": "api-server-address",
            },
            # A static pod can have no ConfigMap.
            "annotations": {_CONFIG_ANNOTATION: yaml.safe_dump(dict(settings), sort_keys=False)},
        },
        "spec": {
            "hostNetwork": True,
            # The cluster's own DNS may be away.
            "dnsPolicy": "Default",
            "priorityClassName": "system-node-critical",
            "enableServiceLinks": False,
            "automountServiceAccountToken": False,
            "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
            "volumes": [{"name": name, **source} for name, _, _, source in volumes],
        },
    }
