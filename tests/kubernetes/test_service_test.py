"""`carpsidecar service-test`, which `helm test` runs: it makes a Service, asks its address, and leaves nothing."""

import threading

import pytest

from carpsidecar.cli import service_test
from carpsidecar.ipc.settings import LoadBalancerPool
from carpsidecar.reporter.kubernetes.rbac import Rule
from tests.kubernetes.scene import Scene
from tests.kubernetes.services import Services
from tests.support.waits import SOON_S


def run(scene: Scene, services: Services, monkeypatch: pytest.MonkeyPatch, seconds: float) -> int:
    verbs = ("create", "list", "delete")
    account = scene.account([Rule(verb, "services", scene.namespace) for verb in verbs], "tester")
    monkeypatch.setattr("carpsidecar.reporter.kubernetes.credentials.SERVICE_ACCOUNT", account)
    arguments = [scene.namespace, "probe", services.settings.class_, "a=b,c=d", str(seconds)]
    status = service_test.main(arguments)
    assert scene.admin.get(services.path)["items"] == []
    return status


def test_it_says_which_address_leads_to_it(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    services = Services(scene)
    node = services.node()
    # Nothing here carries what is for the address to a pod.
    monkeypatch.setattr(service_test, "_ask", lambda ip, token: "")
    becomes = threading.Thread(target=node.become, args=("192.0.2.200", "master"))
    becomes.start()
    assert run(scene, services, monkeypatch, SOON_S) == 0
    becomes.join()
    output = capsys.readouterr().out
    assert "probe got 192.0.2.200, and port 80 of it leads to this pod" in output
    assert f"192.0.2.200 is on {scene.namespace}-n1 since" in output


def test_without_a_holder_it_fails_though_kube_proxy_answers(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    services = Services(scene)
    services.node()
    monkeypatch.setattr(service_test, "_ask", lambda ip, token: "")
    assert run(scene, services, monkeypatch, 3.0) == 1
    assert "192.0.2.200, port 80: it leads to this pod; no node holds it" in capsys.readouterr().err


def test_without_an_answer_it_fails_and_says_so(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    services = Services(scene)
    services.node()
    monkeypatch.setattr(service_test, "_ask", lambda ip, token: "Connection refused")
    assert run(scene, services, monkeypatch, 3.0) == 1
    assert "192.0.2.200, port 80: Connection refused" in capsys.readouterr().err


def test_without_an_address_it_says_why(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    services = Services(scene, LoadBalancerPool(name="few", addresses=["192.0.2.200"], auto_assign=False))
    services.node()
    assert run(scene, services, monkeypatch, 3.0) == 1
    assert "got no address: no IPv4 address is left in any pool" in capsys.readouterr().err


def test_it_answers_with_what_only_it_knows() -> None:
    with service_test._listening(b"a secret") as listener:
        port = listener.getsockname()[1]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(service_test, "PORT", port)
            assert service_test._ask("127.0.0.1", b"a secret") == ""
            assert service_test._ask("127.0.0.1", b"a guesss") == "somebody else answers"
