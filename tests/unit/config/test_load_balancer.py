"""Addresses for Services: what they come to, and what is said of what can't be used."""

from ipaddress import ip_address
from typing import Any

import pytest
import yaml

from carpsidecar.config.load_balancer import SHARED
from carpsidecar.config.schema import GROUP_FIELDS
from carpsidecar.config.sources import Config, load, reported
from tests.unit.config.conftest import Refusal, WriteFile

POD = {
    "kubernetes": True,
    "pod_name": "carp-x",
    "pod_namespace": "carp",
    "node_name": "a",
    "pod_selector": "app=carp",
}
LEAST: dict[str, Any] = {**POD, "passphrase": "a passphrase longer than CARP takes"}
POOL = {"name": "web", "addresses": ["192.0.2.200-192.0.2.250", "2001:db8::/120"]}


def text(load_balancer: Any, **beside: Any) -> str:
    return yaml.safe_dump({**LEAST, "load_balancer": load_balancer, **beside})


@pytest.fixture
def loaded(write_file: WriteFile) -> Any:
    def load_it(load_balancer: Any, **beside: Any) -> Config:
        return load({}, {}, write_file(text(load_balancer, **beside)))

    return load_it


def test_a_pool_is_enough_and_no_address_of_a_group_is_needed(loaded: Any) -> None:
    config = loaded({"pools": [POOL]})
    assert config.groups == ()
    services = config.service_addresses
    assert services.vhids == range(1000, 2000)
    assert services.closes_node_ports
    for address in ("192.0.2.200", "2001:db8::7"):
        group = services.group(ip_address(address), 1234)
        assert (group.name, group.vhid, group.auth, group.settings.preempt) == ("lb-1234", 1234, "hardened", True)
        assert [str(own) for own in group.addresses] == [f"{address}/{group.addresses[0].max_prefixlen}"]
        assert [ip.version for ip in group.destination.multicast] == [group.addresses[0].version]
        assert group.passphrase.secret == LEAST["passphrase"].encode()


def test_what_stands_beside_holds_for_their_groups_and_what_is_a_groups_own_does_not(loaded: Any) -> None:
    beside = {
        "vip": "192.0.2.100",
        "auth": "hardened",
        "name": "front",
        "vhid": 7,
        "advskew": 99,
        "dead_ratio": 5,
        "interface": "eth0",
        "on_master": "/bin/true",
        "sync_group": "all",
        "peer": ["192.0.2.1", "192.0.2.2"],
    }
    config = loaded(
        {"pools": [POOL, {"name": "b", "addresses": ["198.51.100.0/28"], "interface": "eth1"}]}, **beside
    )
    assert [group.name for group in config.groups] == ["front"]
    group = config.service_addresses.group(ip_address("192.0.2.200"), 1000)
    assert (group.settings.dead_ratio, group.interface, group.settings.advskew) == (5, "eth0", 0)
    assert (group.hooks.on_master, group.sync_group) == ((), None)
    assert len(group.destination.peers) == 2
    assert config.service_addresses.group(ip_address("198.51.100.3"), 1000).interface == "eth1"


def test_the_reporter_knows_what_it_may_give_out(loaded: Any) -> None:
    given = {"class": "example.com/x", "default": True, "vhids": "5000-5009", "max_addresses": 9, "pools": [POOL]}
    settings = loaded(given).reporter.kubernetes.load_balancer
    assert (settings.class_, settings.default, settings.vhid_first, settings.vhid_last) == (
        "example.com/x",
        True,
        5000,
        5009,
    )
    assert settings.addresses_max == 9
    assert [pool.name for pool in settings.pools] == ["web"]


def test_what_an_engine_runs_with_loads_again(loaded: Any) -> None:
    config = loaded({"vhids": "2000-2999", "pools": [POOL]}, dead_ratio=4)
    again = load({}, {}, running=reported(config))
    assert again.service_addresses is not None
    assert again.service_addresses.vhids == range(2000, 3000)
    assert again.service_addresses.pools == config.service_addresses.pools
    assert again.service_addresses.group(ip_address("192.0.2.200"), 2000).settings.dead_ratio == 4


def test_every_setting_that_is_shared_is_one_of_a_group() -> None:
    assert set(SHARED) <= GROUP_FIELDS.keys()


def pools(*given: Any, **more: Any) -> dict[str, Any]:
    return {"pools": list(given), **more}


BAD = [
    ([], "load_balancer: a list can't be used: give a mapping"),
    ({}, "load_balancer.pools: none is given: give a list of pools"),
    ({"pools": {"name": "web"}}, "load_balancer.pools: a mapping can't be used: give a list"),
    (pools("web"), "load_balancer.pools[0]: 'web' can't be used: give a mapping"),
    (pools({"name": "web"}), "load_balancer.pools[0].addresses: none is given: give a list"),
    (pools({"addresses": ["192.0.2.1"]}), "load_balancer.pools[0].name: none is given: give a short name"),
    (pools({**POOL, "adresses": []}), "load_balancer.pools[0]: there is no such setting as 'adresses'"),
    (pools({**POOL, "name": "A B"}), "load_balancer.pools[0].name: 'A B' can't be used: give a short name"),
    (pools({**POOL, "addresses": []}), "load_balancer.pools[0].addresses: a list can't be used: give a list such"),
    (
        pools({**POOL, "addresses": ["192.0.2.300"]}),
        "pools[0].addresses: '192.0.2.300' can't be used: give a network",
    ),
    (
        pools(POOL, {**POOL, "name": "b"}),
        "load_balancer.pools: 192.0.2.200-192.0.2.250 and 192.0.2.200-192.0.2.250",
    ),
    (pools(POOL, vhids="9-2"), "load_balancer.vhids: '9-2' can't be used: give a range such as 1000-1999"),
    (pools(POOL, vhids="0-2"), "load_balancer.vhids: '0-2' can't be used"),
    (pools(POOL, vhids="1-70000"), "load_balancer.vhids: '1-70000' can't be used"),
    (pools(POOL, vhids="many"), "load_balancer.vhids: 'many' can't be used"),
    (pools(POOL, max_addresses=0), "load_balancer.max_addresses: 0 can't be used: give a number from 1 to 2000"),
    (pools(POOL, rebalance_delay_s=-2), "load_balancer.rebalance_delay_s: -2 can't be used: give a number from -1"),
    (pools(POOL, node_ports="shut"), "load_balancer.node_ports: 'shut' can't be used: give closed or open"),
    (pools(POOL, klass="x"), "load_balancer: there is no such setting as 'klass': see"),
]


@pytest.mark.parametrize(("given", "problem"), BAD, ids=[problem for _, problem in BAD])
def test_what_cant_be_used_is_named_with_what_to_give(
    given: Any, problem: str, write_file: WriteFile, refusal: Refusal
) -> None:
    assert problem in refusal(file=write_file(text(given)))


@pytest.mark.parametrize(
    ("group", "problem"),
    [
        ({"vip": "192.0.2.201", "vhid": 1}, "vip: 192.0.2.201 of group vhid-1 is in pool web of load_balancer too"),
        (
            {"vip": "192.0.2.1", "vhid": 1000},
            "vhid: 1000 of group vhid-1000 is one of load_balancer.vhids, 1000-1999",
        ),
        ({"vip": "192.0.2.1", "vhid": 1, "name": "lb-7"}, "name: 'lb-7' is what the group of a Service's address"),
    ],
)
def test_a_group_has_nothing_that_is_for_services(
    group: dict[str, Any], problem: str, write_file: WriteFile, refusal: Refusal
) -> None:
    given = text(pools(POOL), groups=[{**group, "auth": "hardened"}])
    assert problem in refusal(file=write_file(given))


@pytest.mark.parametrize("missing", ["kubernetes", "node_name", "pod_selector", "passphrase"])
def test_what_it_needs_beside_it(missing: str, write_file: WriteFile, refusal: Refusal) -> None:
    left = {name: value for name, value in LEAST.items() if name != missing}
    error = refusal(file=write_file(yaml.safe_dump({**left, "load_balancer": pools(POOL)})))
    assert missing in error
