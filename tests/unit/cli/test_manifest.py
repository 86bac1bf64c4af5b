"""`carpsidecar manifest pod`: a static pod whose configuration is what `run` takes."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from carpsidecar.cli import main
from carpsidecar.cli.manifest import DISTROS
from carpsidecar.config.sources import load

VIP = ("--vip", "192.0.2.100", "--vhid", "100")


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["manifest", "pod", *arguments]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    content: dict[str, Any] = yaml.safe_load(out)
    return content


def configuration(pod: dict[str, Any]) -> str:
    text: str = pod["metadata"]["annotations"]["carpsidecar.io/config"]
    return text


def paths(pod: dict[str, Any]) -> set[str]:
    return {volume["hostPath"]["path"] for volume in pod["spec"]["volumes"] if "hostPath" in volume}


@pytest.mark.parametrize("distro", ["kubeadm", "k3s", "rke2"])
def test_run_takes_the_configuration_in_it(capsys: pytest.CaptureFixture[str], tmp_path: Path, distro: str) -> None:
    pod = printed(capsys, "--distro", distro, *VIP, "--interface", "eth0", "--advbase", "2", "--no-preempt")
    secret, file = tmp_path / "passphrase", tmp_path / "carpsidecar.yaml"
    secret.touch(0o600)
    secret.write_text("on each control plane")
    file.write_text(configuration(pod).replace("/etc/carpsidecar-passphrase", str(secret)))
    config = load({}, {}, str(file))
    [group] = config.groups
    assert (group.interface, group.vhid, group.settings.advbase) == ("eth0", 100, 2)
    assert (group.auth, group.auto_advskew, group.settings.preempt) == ("hardened", True, False)
    assert config.reporter is not None
    assert [check.name for check in config.reporter.checks] == ["api-server"]


def test_the_pod_needs_no_api_server_and_little_else(capsys: pytest.CaptureFixture[str]) -> None:
    pod = printed(capsys, "--distro", "kubeadm", *VIP, "--image", "registry.example.com/carpsidecar:1")
    spec, [container] = pod["spec"], pod["spec"]["containers"]
    assert spec["hostNetwork"]
    assert not spec["automountServiceAccountToken"]
    assert not {"configMap", "secret", "projected"} & {kind for volume in spec["volumes"] for kind in volume}
    assert container["image"] == "registry.example.com/carpsidecar:1"
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in spec["volumes"]}
    assert container["livenessProbe"]["httpGet"] == {"host": "127.0.0.1", "port": 9112, "path": "/healthz"}


def test_kubernetes_takes_it(capsys: pytest.CaptureFixture[str]) -> None:
    validator = pytest.importorskip("kubernetes_validate", reason="needs kubernetes-validate: make test")
    for distro in DISTROS:
        content = printed(capsys, "--distro", distro, *VIP)
        pods = content["machine"]["pods"] if distro == "talos" else [content]
        for pod in pods:
            validator.validate(pod, validator.latest_version(), strict=True)


def test_each_distribution_has_its_own_places(capsys: pytest.CaptureFixture[str]) -> None:
    kubeadm = printed(capsys, "--distro", "kubeadm", *VIP)
    assert paths(kubeadm) >= {"/etc/carpsidecar/passphrase", "/etc/kubernetes/pki/ca.crt"}
    assert "https://127.0.0.1:6443/readyz" in configuration(kubeadm)
    # These refuse anonymous requests, so no more than a connection can be asked for.
    for distro in ("k3s", "rke2"):
        pod = printed(capsys, "--distro", distro, *VIP)
        assert "tcp: 127.0.0.1:6443" in configuration(pod)
        assert paths(pod) == {"/etc/carpsidecar/passphrase", "/var/lib/carpsidecar"}
    [talos] = printed(capsys, "--distro", "talos", *VIP)["machine"]["pods"]
    assert paths(talos) == {"/var/lib/carpsidecar/passphrase", "/var/lib/carpsidecar"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--distro", "kubeadm"), "vip: none is given"),
        (("--distro", "minikube", *VIP), "--distro: invalid choice"),
        (
            ("--distro", "k3s", *VIP, "--passphrase", "x"),
            "each control plane has it in /etc/carpsidecar/passphrase",
        ),
        (("--distro", "k3s", *VIP, "--config", "x"), "give the settings as flags"),
        (("--distro", "k3s", "--vip", "nowhere"), "give an IP address"),
    ],
)
def test_what_can_t_be_used_is_one_line(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    assert main(["manifest", "pod", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.count("\n") == 1
