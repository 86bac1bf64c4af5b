"""Who is given which address, and that he keeps it."""

from typing import Any

import pytest

from carpsidecar.reporter.kubernetes.services.allocation import plan
from carpsidecar.reporter.kubernetes.services.holdings import holders, vhids_of
from carpsidecar.reporter.kubernetes.services.objects import ALLOCATION, PREFER_TWO
from tests.unit.reporter.kubernetes.services.builders import Cluster, pool, rules, service

WEB, MAIL = ("shop", "web"), ("shop", "mail")
TWO: dict[str, Any] = {"families": (4, 6), "family_policy": "RequireDualStack"}


def cluster(*pools: Any, **more: Any) -> Cluster:
    return Cluster(rules(*pools, **more))


def test_each_service_gets_the_first_free_address_and_a_vhid_of_the_range() -> None:
    here = cluster()
    here.add(service(), service("mail"))
    here.allocate()
    assert here.addresses() == ("192.0.2.200",)
    assert here.addresses("mail") == ("192.0.2.201",)
    assert here.reason() == ("True", "Assigned")
    found = vhids_of(holders(here.services.values(), here.rules), here.rules)
    assert len(set(found.values())) == 2
    assert all(vhid in here.rules.vhids for vhid in found.values())


@pytest.mark.parametrize(
    ("values", "is_default", "is_given"),
    [
        ({"class_": "other.io/lb"}, True, False),
        ({"class_": ""}, False, False),
        ({"class_": ""}, True, True),
        ({"is_load_balancer": False}, True, False),
        ({"leaving": True}, True, False),
        ({"class_": "", "ingress": ("203.0.113.7",)}, True, False),
    ],
)
def test_only_services_of_ours(values: dict[str, Any], is_default: bool, is_given: bool) -> None:
    here = cluster(is_default=is_default)
    here.add(service(**values))
    here.allocate()
    assert (here.addresses() == ("192.0.2.200",)) is is_given


def test_an_address_of_another_class_is_not_given() -> None:
    here = cluster()
    here.add(service("theirs", class_="other.io/lb", ingress=("192.0.2.200",)), service())
    here.allocate()
    assert here.addresses() == ("192.0.2.201",)
    assert here.addresses("theirs") == ("192.0.2.200",)


@pytest.mark.parametrize("values", [{"class_": "other.io/lb"}, {"is_load_balancer": False}, {"leaving": True}])
def test_who_is_ours_no_more_has_nothing_of_ours_and_the_address_is_free(values: dict[str, Any]) -> None:
    here = cluster(pool("default", "192.0.2.200"))
    here.add(service(), service("mail"))
    here.allocate()
    assert here.reason("mail") == ("False", "NoAddressLeft")
    here.change(WEB, **values)
    here.allocate()
    assert here.addresses() == ()
    assert not here.services[WEB].annotations
    assert not here.services[WEB].conditions
    here.rest()
    here.allocate()
    assert here.addresses("mail") == ("192.0.2.200",)


def test_a_requested_address_is_given_also_from_a_pool_that_gives_none_by_itself() -> None:
    here = cluster(pool(), pool("special", "192.0.2.9", auto_assign=False))
    here.add(
        service(annotations={"carpsidecar.io/address": "192.0.2.9"}), service("mail", requested_ip="192.0.2.203")
    )
    here.allocate()
    assert here.addresses() == ("192.0.2.9",)
    assert here.addresses("mail") == ("192.0.2.203",)


@pytest.mark.parametrize(
    ("annotations", "reason", "text"),
    [
        ({"address": "203.0.113.1"}, "BadRequest", "203.0.113.1 is in no pool"),
        ({"address": "not at all"}, "BadRequest", "give an address"),
        ({"address": "2001:db8::1"}, "BadRequest", "one address of each of its ipFamilies"),
        ({"address": "192.0.2.201,192.0.2.202"}, "BadRequest", "one address of each of its ipFamilies"),
        ({"address": "fe80::1%eth0"}, "BadRequest", "give an address"),
        ({"pool": "gold"}, "BadRequest", "there is no such pool, but default, few"),
        ({"pool": "few", "address": "192.0.2.200"}, "BadRequest", "192.0.2.200 is not in pool 'few'"),
        ({"address": "192.0.2.203"}, "AddressTaken", "192.0.2.203 is in use by 02:00:00:00:00:66"),
        ({"allocation": "{"}, "Assigned", "it has"),
        ({"allocation": '{"192.0.2.203": 1, "x": 2}'}, "Assigned", "it has"),
        ({"allocation": "[" * 100_000}, "Assigned", "it has"),
    ],
)
def test_nonsense_in_annotations_is_reported(annotations: dict[str, str], reason: str, text: str) -> None:
    here = cluster(pool(), pool("few", "192.0.2.9"))
    here.unavailable["192.0.2.203"] = "is in use by 02:00:00:00:00:66"
    here.add(service(annotations={f"carpsidecar.io/{name}": value for name, value in annotations.items()}))
    here.allocate()
    assert here.reason()[1] == reason
    assert text in here.message()
    assert bool(here.addresses()) is (reason == "Assigned")


def test_two_that_request_one_address_get_it_one_after_the_other() -> None:
    here = cluster()
    requested = {"carpsidecar.io/address": "192.0.2.203"}
    here.add(service(annotations=requested), service("mail", annotations=requested))
    here.allocate()
    assert here.addresses() == ("192.0.2.203",)
    assert here.reason("mail") == ("False", "AddressTaken")
    assert "192.0.2.203 is that of Service shop/web" in here.message("mail")
    del here.services[WEB]
    here.rest()
    here.allocate()
    assert here.addresses("mail") == ("192.0.2.203",)


def test_a_pool_of_one_serves_the_next_when_the_first_is_gone_and_by_the_same_vhid() -> None:
    here = cluster(pool("default", "192.0.2.200"))
    here.add(service(), service("mail"))
    here.allocate()
    assert here.reason("mail") == ("False", "NoAddressLeft")
    vhid = here.services[WEB].annotations[ALLOCATION]
    del here.services[WEB]
    here.allocate()
    assert here.reason("mail") == ("False", "AddressRests"), "it is not given before kube-proxy knows"
    here.rest()
    here.allocate()
    assert here.addresses("mail") == ("192.0.2.200",)
    assert here.services[MAIL].annotations[ALLOCATION] == vhid


def test_who_comes_when_the_only_address_rests_is_not_refused() -> None:
    here = cluster(pool("default", "192.0.2.200"))
    here.add(service())
    here.allocate()
    del here.services[WEB]
    here.add(service("mail"))
    here.allocate()
    assert here.reason("mail") == ("False", "AddressRests")
    here.rest()
    here.allocate()
    assert here.addresses("mail") == ("192.0.2.200",)


def test_what_was_freed_last_is_given_last() -> None:
    here = cluster()
    here.add(service(), service("mail"), service("shop"))
    here.allocate()
    del here.services[MAIL]
    here.rest()
    del here.services[WEB]
    here.rest()
    given: list[str] = []
    for name in ("a", "b", "c"):
        here.add(service(name))
        here.allocate()
        given += here.addresses(name)
    assert given == ["192.0.2.203", "192.0.2.201", "192.0.2.200"]


def test_made_again_it_has_the_address_that_it_requests_at_once_and_another_only_later() -> None:
    here = cluster()
    requested = {"carpsidecar.io/address": "192.0.2.203"}
    here.add(service(annotations=requested))
    here.allocate()
    del here.services[WEB]
    here.plan()
    here.add(service(annotations=requested))
    here.allocate()
    assert here.addresses() == ("192.0.2.203",)
    del here.services[WEB]
    here.add(service("mail", annotations=requested))
    here.allocate()
    assert here.addresses("mail") == ()
    here.rest()
    here.allocate()
    assert here.addresses("mail") == ("192.0.2.203",)


def test_another_requested_address_is_given_where_it_can_be_and_else_the_old_one_kept() -> None:
    here = cluster()
    here.add(service(), service("mail"))
    here.allocate()
    here.annotate(WEB, address="192.0.2.201")
    here.allocate()
    assert here.addresses() == ("192.0.2.200",)
    assert here.reason() == ("True", "AddressTaken")
    here.annotate(WEB, address="192.0.2.203")
    here.allocate()
    assert here.addresses() == ("192.0.2.203",)
    assert here.addresses("mail") == ("192.0.2.201",)


def shared(name: str, port: int, key: str = "one", **more: Any) -> Any:
    annotations = {"carpsidecar.io/share": key, **more.pop("annotations", {})}
    return service(name, ports=frozenset({("TCP", port)}), annotations=annotations, **more)


def test_services_with_one_key_share_an_address_unless_their_ports_clash() -> None:
    here = cluster()
    here.add(shared("web", 80), shared("mail", 25), shared("web2", 80), shared("other", 81, "two"), service("none"))
    here.allocate()
    assert here.addresses("mail") == here.addresses() == ("192.0.2.200",)
    assert here.services[MAIL].annotations[ALLOCATION] == here.services[WEB].annotations[ALLOCATION]
    assert len({here.addresses(name) for name in ("web", "web2", "other", "none")}) == 4


def test_local_services_share_only_with_those_that_select_the_same_pods() -> None:
    here = cluster()
    here.add(
        shared("web", 80, is_local=True, selector={"app": "a"}),
        shared("mail", 25, is_local=True, selector={"app": "a"}),
        shared("other", 26, is_local=True, selector={"app": "b"}),
        shared("cluster", 27, selector={"app": "a"}),
    )
    here.allocate()
    assert here.addresses("mail") == here.addresses()
    assert here.addresses("other") != here.addresses()
    assert here.addresses("cluster") not in (here.addresses(), here.addresses("other"))


def test_a_share_that_no_longer_holds_is_reported_on_both_and_nobody_moves() -> None:
    here = cluster()
    here.add(shared("web", 80), shared("mail", 25))
    here.allocate()
    here.change(MAIL, ports=frozenset({("TCP", 80), ("TCP", 25)}))
    here.allocate()
    assert here.addresses("mail") == here.addresses() == ("192.0.2.200",)
    for name in ("web", "mail"):
        assert here.reason(name) == ("True", "NoLongerFits")
        assert "both have port 80/TCP" in here.message(name)


def test_one_family_that_is_exhausted_leaves_the_other_as_it_is() -> None:
    here = cluster(pool("default", "192.0.2.200-192.0.2.203", "2001:db8::1-2001:db8::1"))
    here.add(service(**TWO), service("mail", **TWO))
    here.allocate()
    assert here.addresses() == ("192.0.2.200", "2001:db8::1")
    assert here.addresses("mail") == ("192.0.2.201",)
    assert here.reason("mail") == ("False", "NoAddressLeft")
    assert "no IPv6 address is left" in here.message("mail")
    del here.services[WEB]
    here.rest()
    here.allocate()
    assert here.addresses("mail") == ("192.0.2.201", "2001:db8::1")
    here.change(MAIL, families=(4,), family_policy="SingleStack")
    here.allocate()
    assert here.addresses("mail") == ("192.0.2.201",)


def test_a_second_family_that_is_only_preferred_is_not_missed_where_no_pool_has_it() -> None:
    here = cluster()
    here.add(service(families=(4, 6), family_policy=PREFER_TWO), service("mail", **TWO))
    here.allocate()
    assert here.reason() == ("True", "Assigned")
    assert here.reason("mail") == ("False", "NoAddressLeft")


def test_a_pool_for_some_namespaces_is_for_no_other() -> None:
    here = cluster(pool(), namespaces={"default": frozenset({"other"})})
    here.add(service(), service(namespace="other"))
    here.allocate()
    assert here.reason() == ("False", "NoAddressLeft")
    assert here.addresses(namespace="other") == ("192.0.2.200",)


@pytest.mark.parametrize(
    ("pools", "reason"),
    [
        ([pool("renamed")], ("True", "Assigned")),
        ([pool("default", "192.0.2.202"), pool("b", "192.0.2.200-192.0.2.201")], ("True", "Assigned")),
        ([pool("default", "192.0.2.201-192.0.2.203")], ("False", "PoolGone")),
        ([pool("default", "198.51.100.0/24")], ("False", "PoolGone")),
    ],
)
def test_what_is_held_stays_whatever_becomes_of_the_pool(pools: list[Any], reason: tuple[str, str]) -> None:
    here = cluster()
    here.add(service())
    here.allocate()
    here.rules = rules(*pools)
    here.allocate()
    assert here.addresses() == ("192.0.2.200",)
    assert here.reason() == reason
    here.rules = rules()
    here.allocate()
    assert here.addresses() == ("192.0.2.200",)
    assert here.reason() == ("True", "Assigned")


def test_an_annotation_with_a_pool_that_no_longer_fits_is_reported() -> None:
    here = cluster()
    here.add(service(annotations={"carpsidecar.io/pool": "default"}))
    here.allocate()
    here.rules = rules(pool("renamed"))
    here.allocate()
    assert here.addresses() == ("192.0.2.200",)
    assert here.reason() == ("True", "NoLongerFits")


def test_an_annotation_that_somebody_removed_is_written_anew_with_the_same_vhid() -> None:
    here = cluster()
    here.add(service())
    here.allocate()
    before = here.services[WEB].annotations[ALLOCATION]
    here.change(WEB, annotations={})
    here.allocate()
    assert here.services[WEB].annotations[ALLOCATION] == before


def test_nobody_gets_an_address_or_a_vhid_by_writing_it_into_his_annotation() -> None:
    here = cluster()
    here.add(service("older"), service())
    here.allocate()
    mine = here.services[WEB].annotations[ALLOCATION]
    stolen = mine.replace("192.0.2.201", "192.0.2.200")
    here.annotate(("shop", "older"), allocation=stolen)
    found = vhids_of(holders(here.services.values(), here.rules), here.rules)
    assert found["192.0.2.201"] == int(mine.rpartition(":")[2].strip("}"))
    here.annotate(("shop", "older"), allocation=mine)
    here.allocate()
    assert here.services[WEB].annotations[ALLOCATION] == mine
    assert here.addresses("older") == ("192.0.2.200",)


def test_no_more_addresses_than_there_may_be_and_no_more_than_vhids() -> None:
    here = cluster(addresses_max=1)
    here.add(service(), service("mail"))
    here.allocate()
    assert here.addresses("mail") == ()
    assert "all 1 addresses that there may be" in here.message("mail")
    here = cluster(vhids=range(7, 8))
    here.add(service(), service("mail"))
    here.allocate()
    assert here.addresses() == ("192.0.2.200",)
    assert here.addresses("mail") == ()
    assert "all 1 vhids are in use" in here.message("mail")


def test_an_address_that_something_else_has_is_passed_over() -> None:
    here = cluster()
    here.unavailable["192.0.2.200"] = "is in use"
    here.add(service())
    [outcome] = plan(here.services.values(), here.rules, here.unavailable).values()
    assert outcome.new == ("192.0.2.201",)


def test_what_another_installation_gave_is_its_own() -> None:
    here, there = (
        cluster(pool("default", "192.0.2.200")),
        cluster(pool("default", "198.51.100.7"), class_="other.io/b"),
    )
    theirs = service(class_="other.io/b")
    there.add(theirs)
    there.allocate()
    given = there.services[WEB]
    here.add(given)
    here.allocate()
    assert here.services[WEB] == given
    # It changes hands: the one lets go first, and the other gives it one of its own.
    moved = {"class_": "carpsidecar.io/carp"}
    there.change(WEB, **moved)
    here.change(WEB, **moved)
    here.allocate()
    assert here.addresses() == ("192.0.2.200",)
