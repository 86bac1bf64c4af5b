"""In Kubernetes: whether every right is there that the reporter uses, and whether the labels tell the truth.

Source: SelfSubjectAccessReview of authorization.k8s.io/v1, which needs no right of its own. Imported only where
`kubernetes` is configured.
"""

import json
import os
from collections.abc import Iterator

from carpsidecar.doctor.findings import Finding, named, ok, problem, skipped, warning
from carpsidecar.doctor.machine import Machine, Subject
from carpsidecar.ipc.settings import KubernetesSettings
from carpsidecar.reporter.kubernetes.client import Api, ApiError, Request, Timing
from carpsidecar.reporter.kubernetes.credentials import SERVICE_ACCOUNT
from carpsidecar.reporter.kubernetes.objects import ROLE_LABEL, Pod
from carpsidecar.reporter.kubernetes.pod_status import suffixes
from carpsidecar.reporter.kubernetes.pods import get_pod, list_pods
from carpsidecar.reporter.kubernetes.rbac import Rule, rules
from carpsidecar.status.stats import ApiStats

_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_ASK = Rule("create", "selfsubjectaccessreviews", "", "authorization.k8s.io")


def cluster(machine: Machine, settings: KubernetesSettings) -> Iterator[Finding]:
    if (
        not settings.kubeconfig
        and not (SERVICE_ACCOUNT / "token").exists()
        and "KUBERNETES_SERVICE_HOST" in os.environ
    ):
        text = "the API can't be asked from here: the token is in the reporter's container"
        yield from named("kubernetes", "", [skipped(text)])
        return
    api = Api(settings.kubeconfig, ApiStats(), Timing())
    try:
        yield from named("permissions", "", _permissions(api, settings))
        yield from named("label", "", _labels(api, settings, machine))
    except ApiError as error:
        remedy = "check the service account, the network policy and the API server's address"
        yield from named("kubernetes", "", [problem(str(error), remedy)])
    finally:
        api.close()


def _permissions(api: Api, settings: KubernetesSettings) -> Iterator[Finding]:
    """Raises: ApiError."""
    needed = rules(settings)
    missing = [rule for rule in needed if not _is_allowed(api, rule)]
    for rule in missing:
        yield problem(f"not allowed to {rule}", rule.advice)
    if not missing:
        yield ok(f"all {len(needed)} that are used are there")


def _is_allowed(api: Api, rule: Rule) -> bool:
    resource, _, subresource = rule.resource.partition("/")
    attributes = {
        "verb": rule.verb,
        "group": rule.api_group,
        "resource": resource,
        "subresource": subresource,
        "namespace": rule.namespace,
    }
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    answer = api.call(Request("POST", _REVIEWS, _ASK, body=body))
    try:
        return json.loads(answer)["status"]["allowed"] is True
    except (ValueError, KeyError, TypeError):
        raise ApiError("other", f"{_ASK}: an answer that can't be read") from None


def _labels(api: Api, settings: KubernetesSettings, machine: Machine) -> Iterator[Finding]:
    """Raises: ApiError."""
    own = get_pod(api, settings.pod_namespace, settings.pod_name)
    if own is None:
        yield problem(
            f"there is no pod {settings.pod_name} in namespace {settings.pod_namespace}",
            "give its own name by CARP_POD_NAME and CARP_POD_NAMESPACE (the downward API)",
        )
        return
    pods = [own]
    if settings.pod_selector:
        pods = list_pods(api, settings.pod_namespace, {"labelSelector": settings.pod_selector})
    names = suffixes(subject.name for subject in machine.subjects)
    for subject in machine.subjects:
        yield _label(subject, own, pods, f"{ROLE_LABEL}{names[subject.name]}")


def _label(subject: Subject, own: Pod, pods: list[Pod], label: str) -> Finding:
    masters = sorted(pod.name for pod in pods if pod.labels.get(label) == "master")
    role = own.labels.get(label, "none")
    here = subject.daemon is not None and any(
        address.interface.ip in subject.addresses for address in subject.netlink.addresses()
    )
    if role == "master" and not here:
        return problem(
            f"pod {own.name} bears {label}=master, and this machine is not master: the label is stale",
            f"restart the pod; until then: kubectl label pod {own.name} -n {own.namespace} {label}-",
            about=subject.name,
        )
    if len(masters) > 1:
        return problem(
            f"several pods bear {label}=master: {', '.join(masters)}",
            "run this on each of their nodes: where it calls the label stale, restart the pod",
            about=subject.name,
        )
    if here and role != "master":
        return warning(
            f"this machine is master, and pod {own.name} bears {label}={role}",
            "see permissions, and whether the reporter runs: its log says what it could not write",
            about=subject.name,
        )
    return ok(f"{label}={role}, as it should be", about=subject.name)
