"""What rules do to protocol 112, reported from what nft and iptables-save print."""

import json
from contextlib import suppress
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carpsidecar.doctor.firewall import iptables, nft
from carpsidecar.doctor.firewall.ruleset import Direction, Drop, Traffic, drops

GROUP = ip_address("224.0.0.18")
IN = Traffic("in", "eth0", (ip_address("10.99.0.11"),), GROUP, 4)


def match(left: Any, right: Any, op: str = "==") -> dict[str, Any]:
    return {"match": {"op": op, "left": left, "right": right}}


def payload(protocol: str, field: str) -> dict[str, Any]:
    return {"payload": {"protocol": protocol, "field": field}}


PROTOCOL = match(payload("ip", "protocol"), "vrrp")
L4 = {"meta": {"key": "l4proto"}}
STATE = {"ct": {"key": "state"}}
DROP, ACCEPT, REJECT = {"drop": None}, {"accept": None}, {"reject": {"type": "icmp", "expr": "port-unreachable"}}
LIMIT = {"limit": {"rate": 1, "burst": 5, "per": "second"}}


def by_nft(
    *rules: list[Any],
    policy: str = "accept",
    family: str = "inet",
    traffic: Traffic = IN,
    hook: str = "input",
    **more: Any,
) -> list[Drop]:
    where = {"family": family, "table": "f"}
    objects: list[Any] = [{"metainfo": {"version": "1.0.6"}}, {"table": {"family": family, "name": "f"}}]
    objects.append({"chain": {**where, "name": "i", "hook": hook, "type": "filter", "prio": 0, "policy": policy}})
    objects += [{"chain": {**where, "name": "sub"}}, {"set": {**where, "name": "s", "elem": more.get("elem", [])}}]
    for chain, statements in (("i", rules), ("sub", more.get("sub", []))):
        objects += [
            {"rule": {**where, "chain": chain, "handle": number, "expr": expr}}
            for number, expr in enumerate(statements, start=5)
        ]
    return drops(*nft.read(json.dumps({"nftables": objects}), traffic))


@pytest.mark.parametrize(
    "rule",
    [
        [PROTOCOL, DROP],
        [PROTOCOL, {"counter": {"packets": 0, "bytes": 0}}, {"log": {"prefix": "x"}}, REJECT],
        [match(L4, {"set": ["ospf", 112]}), DROP],
        [match(L4, {"set": [{"range": [100, 120]}]}), DROP],
        [match(L4, "tcp", "!="), DROP],
        [match(payload("ip", "daddr"), {"prefix": {"addr": "224.0.0.0", "len": 4}}), DROP],
        [match(payload("ip", "saddr"), "10.99.0.11"), DROP],
        [match({"meta": {"key": "iifname"}}, "eth*"), DROP],
        [match({"meta": {"key": "pkttype"}}, "multicast"), DROP],
        [match({"fib": {"result": "type", "flags": ["daddr"]}}, "multicast"), DROP],
        [match(STATE, ["invalid", "new"], "in"), DROP],
        [match(payload("ip", "saddr"), "@s"), DROP],
        [PROTOCOL, {"xt": {"type": "match", "name": "comment"}}, {"xt": {"type": "target", "name": "REJECT"}}],
        [PROTOCOL, {"jump": {"target": "sub"}}],
        [{"vmap": {"key": L4, "data": {"set": [["tcp", ACCEPT], [112, DROP]]}}}],
    ],
)  # fmt: skip
def test_nft_rules_that_take_it(rule: list[Any]) -> None:
    [drop] = by_nft(rule, elem=["10.99.0.11"], sub=[[DROP]])
    assert drop.certain
    assert drop.where.startswith("nft table inet f, chain i: rule handle 5")


@pytest.mark.parametrize(
    "rule",
    [
        [match(payload("tcp", "dport"), 22), DROP],
        [match(payload("ip6", "nexthdr"), "vrrp"), DROP],
        [match(L4, {"set": ["tcp", "udp"]}), DROP],
        [match(payload("ip", "saddr"), "10.5.0.1"), DROP],
        [match({"meta": {"key": "iifname"}}, "eth1"), DROP],
        [match({"meta": {"key": "oifname"}}, "eth0"), DROP],
        [match(STATE, "established"), DROP],
        [PROTOCOL, {"counter": {"packets": 0, "bytes": 0}}],
        [PROTOCOL, {"return": None}],
        [match({"meta": {"key": "mark"}}, 7), DROP],
        [match(payload("ip", "saddr"), "@unknown"), DROP],
    ],
)
def test_nft_rules_that_have_nothing_to_do_with_it(rule: list[Any]) -> None:
    assert by_nft(rule) == []


def test_a_policy_of_drop() -> None:
    [drop] = by_nft([match(payload("tcp", "dport"), 22), ACCEPT], policy="drop")
    assert drop == Drop("nft table inet f, chain i: its policy is drop, and no rule lets 112 pass", True)
    assert by_nft([PROTOCOL, ACCEPT], policy="drop") == []
    assert by_nft([PROTOCOL, {"jump": {"target": "sub"}}], policy="drop", sub=[[ACCEPT]]) == []
    assert by_nft(
        [
            PROTOCOL,
            {"goto": {"target": "sub"}},
        ],
        [ACCEPT],
        policy="drop",
        sub=[],
    )[0].certain


def test_what_can_not_be_told_is_a_warning_at_most() -> None:
    [drop] = by_nft([PROTOCOL, LIMIT, DROP])
    assert not drop.certain
    [drop] = by_nft([match({"meta": {"key": "mark"}}, 7), ACCEPT], policy="drop")
    assert not drop.certain


def test_hooks_and_families_that_it_does_not_pass() -> None:
    assert by_nft([PROTOCOL, DROP], hook="forward") == []
    assert by_nft([PROTOCOL, DROP], hook="output") == []
    assert by_nft([DROP], family="ip6") == []
    out = Traffic("out", "eth0", (), GROUP, 4)
    assert by_nft([PROTOCOL, DROP], hook="output", traffic=out)[0].certain
    assert by_nft([match({"meta": {"key": "oif"}}, "eth0"), DROP], hook="postrouting", traffic=out)[0].certain


def test_unicast_may_be_an_established_connection() -> None:
    unicast = Traffic("in", "eth0", (), ip_address("10.99.0.12"), 4)
    [drop] = by_nft([match(STATE, "established"), ACCEPT], policy="drop", traffic=unicast)
    assert not drop.certain


@pytest.mark.parametrize(
    "listing", ["", "[]", "{}", '{"nftables": [{"rule": {}}]}', '{"nftables": [{"chain": 1}]}']
)
def test_an_answer_that_is_none_of_nfts(listing: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        nft.read(listing, IN)


SAVED = """\
# Generated by iptables-save v1.8.9
*nat
:PREROUTING DROP [0:0]
COMMIT
*filter
:INPUT {policy} [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:LOGDROP - [0:0]
{rules}
-A LOGDROP -j LOG --log-prefix "dropped: "
-A LOGDROP -j DROP
COMMIT
"""


def by_iptables(*rules: str, policy: str = "ACCEPT", direction: Direction = "in") -> list[Drop]:
    listing = SAVED.format(policy=policy, rules="\n".join(rules))
    traffic = IN if direction == "in" else Traffic("out", "eth0", (), GROUP, 4)
    return drops(*iptables.read(listing, traffic, "iptables-save"))


@pytest.mark.parametrize(
    "rule",
    [
        "-A INPUT -p vrrp -j DROP",
        "-A INPUT -p 112 -m comment --comment \"no -j ACCEPT here\" -j REJECT --reject-with icmp-port-unreachable",
        "-A INPUT -d 224.0.0.0/4 -i eth+ -j DROP",
        "-A INPUT ! -p tcp -j DROP",
        "-A INPUT ! -s 10.5.0.0/16 -p 112 -m state --state NEW -j LOGDROP",
        "-A INPUT -m addrtype --dst-type MULTICAST -j DROP",
        "-A INPUT -m pkttype --pkt-type multicast -g LOGDROP",
    ],
)  # fmt: skip
def test_iptables_rules_that_take_it(rule: str) -> None:
    [drop] = by_iptables(rule)
    assert drop.certain
    assert drop.where.startswith("iptables-save table filter, chain INPUT: ")


@pytest.mark.parametrize(
    "rule",
    [
        "-A INPUT -p tcp -m tcp --dport 22 -j DROP",
        "-A INPUT -p 112 -j ACCEPT\n-A INPUT -j DROP",
        "-A INPUT -i lo -j DROP",
        "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j DROP",
        "-A OUTPUT -p 112 -j DROP",
        "-A INPUT -m mark --mark 0x1 -j DROP",
        "-A INPUT -p 112 -j LOG",
    ],
)
def test_iptables_rules_that_have_nothing_to_do_with_it(rule: str) -> None:
    assert by_iptables(rule) == []


def test_an_iptables_policy_of_drop() -> None:
    [drop] = by_iptables("-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", policy="DROP")
    assert drop.certain
    assert by_iptables("-A INPUT -p 112 -j ACCEPT", policy="DROP") == []
    assert by_iptables("-A OUTPUT -d 224.0.0.18/32 -o eth0 -j DROP", direction="out")[0].certain


def test_chains_that_call_each_other_end() -> None:
    assert by_iptables("-A INPUT -j LOOP", ":LOOP - [0:0]", "-A LOOP -j LOOP") == []


@given(st.text(max_size=200))
def test_no_listing_is_a_traceback(text: str) -> None:
    with suppress(ValueError):
        drops(*nft.read(text, IN))
    with suppress(ValueError):
        drops(*iptables.read(f"*filter\n{text}", IN, "iptables-save"))
