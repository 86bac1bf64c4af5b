"""The newest of each pod, from watches and from answers."""

from carpsidecar.reporter.kubernetes.cache import PodStore
from tests.unit.reporter.kubernetes.samples import pod


def test_what_is_older_than_an_answer_is_not_taken() -> None:
    store = PodStore()
    store.put(pod(version="5"))
    store.refresh(pod(version="7", phase="Failed"))
    store.put(pod(version="6"))
    store.replace("infra", [pod(version="6")])
    assert [(one.version, one.phase) for one in store] == [("7", "Failed")]


def test_an_answer_does_not_bring_back_what_is_gone_or_was_made_anew() -> None:
    store = PodStore()
    store.refresh(pod())
    assert len(store) == 0
    store.put(pod(uid="new", version="200"))
    store.refresh(pod(uid="old", version="300"))
    store.remove(pod(uid="old"))
    assert [one.uid for one in store] == ["new"]


def test_a_list_is_all_there_is_in_its_namespace() -> None:
    store = PodStore()
    for namespace, name in (("a", "1"), ("a", "2"), ("b", "1")):
        store.put(pod(namespace=namespace, name=name))
    gone = store.replace("a", [pod(namespace="a", name="2", version="101"), pod(namespace="a", name="3")])
    assert [(one.namespace, one.name) for one in gone] == [("a", "1")]
    assert sorted((one.namespace, one.name) for one in store) == [("a", "2"), ("a", "3"), ("b", "1")]
