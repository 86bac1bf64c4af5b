"""The answer of `nft -j list ruleset`. Source: libnftables-json(5)."""

import json
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from carpsidecar.doctor.firewall.ruleset import (
    PROTOCOL,
    PROTOCOL_NAMES,
    Base,
    Match,
    Rule,
    Traffic,
    both,
    destination_in,
    is_new,
    negate,
    source_in,
)

_HOOKS = {"in": ("ingress", "prerouting", "input"), "out": ("output", "postrouting", "egress")}
_OTHER_PROTOCOLS = {"tcp", "udp", "udplite", "sctp", "dccp", "icmp", "icmpv6", "igmp", "ah", "esp", "comp", "gre"}
_ALWAYS = {"counter", "log", "mangle", "notrack", "comment"}
_VERDICTS = {"accept": "accept", "drop": "drop", "reject": "drop", "return": "return"}
_XT_VERDICTS = {"REJECT": "drop", "DROP": "drop", "ACCEPT": "accept", "RETURN": "return"}


def read(listing: str, traffic: Traffic) -> tuple[list[Base], dict[str, list[Rule]]]:
    """The chains that this traffic enters, and all rules as they apply to it.

    Raises:
        ValueError: it is not what nft says.
    """
    try:
        objects = json.loads(listing)["nftables"]
        reader = _Reader(objects, traffic)
        return reader.bases(), reader.chains()
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"nft's answer can't be read: {type(error).__name__}") from None


class _Reader:
    def __init__(self, objects: Sequence[Mapping[str, Any]], traffic: Traffic) -> None:
        self._objects = objects
        self._traffic = traffic
        self._families = ("inet", "netdev", "ip" if traffic.family == 4 else "ip6")
        self._sets = {
            self._key(one["set"], one["set"]["name"]): one["set"].get("elem", []) for one in objects if "set" in one
        }

    def bases(self) -> list[Base]:
        found = []
        for chain in (one["chain"] for one in self._objects if "chain" in one):
            devices = chain.get("dev", [])
            devices = [devices] if isinstance(devices, str) else devices
            if (
                chain["family"] in self._families
                and chain.get("hook") in _HOOKS[self._traffic.direction]
                and chain.get("type") != "nat"
                and (not devices or self._traffic.interface in devices)
            ):
                label = f"nft table {chain['family']} {chain['table']}, chain {chain['name']}"
                policy = "drop" if chain.get("policy") == "drop" else "accept"
                found.append(Base(self._key(chain, chain["name"]), policy, label))  # type: ignore[arg-type]
        return found

    def chains(self) -> dict[str, list[Rule]]:
        found: dict[str, list[Rule]] = {}
        for rule in (one["rule"] for one in self._objects if "rule" in one):
            if rule["family"] in self._families:
                found.setdefault(self._key(rule, rule["chain"]), []).extend(self._rules(rule))
        return found

    def _rules(self, rule: Mapping[str, Any]) -> list[Rule]:
        """One; more where it has a verdict map."""
        matches: list[Match] = []
        found = []
        for statement in rule["expr"]:
            [(kind, body)] = statement.items()
            if kind == "match":
                matches.append(self._match(rule, body))
            elif kind == "xt":
                if body.get("type") == "target":
                    action = _XT_VERDICTS.get(body.get("name", ""), "")
                    found.append(self._rule(rule, matches, action))
                elif body.get("name") != "comment":
                    matches.append(None)
            elif kind == "vmap":
                found += self._mapped(rule, matches, body)
            elif kind in _VERDICTS or kind in ("jump", "goto"):
                found.append(self._rule(rule, matches, kind, body))
            elif kind not in _ALWAYS:
                matches.append(None)
        return found

    def _mapped(self, rule: Mapping[str, Any], matches: list[Match], body: Mapping[str, Any]) -> list[Rule]:
        data = body["data"]
        pairs = self._sets.get(self._key(rule, data[1:]), []) if isinstance(data, str) else data["set"]
        found = []
        for value, verdict in pairs:
            [(kind, target)] = verdict.items()
            match = self._match(rule, {"op": "==", "left": body["key"], "right": value})
            found.append(self._rule(rule, [*matches, match], kind, target))
        return found

    def _rule(self, rule: Mapping[str, Any], matches: Sequence[Match], kind: str, body: Any = None) -> Rule:
        action = _VERDICTS.get(kind, kind)
        target = self._key(rule, body["target"]) if kind in ("jump", "goto") else ""
        text = f"rule handle {rule['handle']}, which {'drops' if action == 'drop' else action + 's'}"
        about_us = any(self._is_about_us(statement["match"]) for statement in rule["expr"] if "match" in statement)
        return Rule(both(matches), action, target, text, about_us)  # type: ignore[arg-type]

    def _is_about_us(self, match: Mapping[str, Any]) -> bool:
        text = json.dumps(match["right"])
        return any(json.dumps(name) in text for name in (*PROTOCOL_NAMES, PROTOCOL, str(self._traffic.destination)))

    def _match(self, rule: Mapping[str, Any], match: Mapping[str, Any]) -> Match:
        if match["op"] not in ("==", "in", "!="):
            return None
        result = self._equals(rule, match["left"], match["right"])
        return negate(result) if match["op"] == "!=" else result

    def _equals(self, rule: Mapping[str, Any], left: Any, right: Any) -> Match:
        values = self._values(rule, right)
        if not isinstance(left, dict) or values is None:
            return None
        [(kind, body)] = left.items()
        if kind == "ct" and body.get("key") == "state":
            return is_new([str(value) for value in values], self._traffic)
        if kind == "fib" and body.get("result") == "type" and "daddr" in body.get("flags", []):
            return ("multicast" in values) if self._traffic.destination is not None else None
        if kind == "payload":
            return _any(self._payload(body, value) for value in values)
        if kind == "meta":
            return _any(self._meta(body.get("key"), value) for value in values)
        return None

    def _payload(self, body: Mapping[str, Any], value: Any) -> Match:
        protocol, field = body.get("protocol"), body.get("field")
        if protocol in _OTHER_PROTOCOLS:
            return False
        if protocol not in ("ip", "ip6"):
            return None
        if protocol != ("ip" if self._traffic.family == 4 else "ip6"):
            return False
        if field in ("protocol", "nexthdr"):
            return str(value) in PROTOCOL_NAMES
        if field in ("saddr", "daddr"):
            return self._address(field, value)
        return None

    def _address(self, field: str, value: Any) -> Match:
        if isinstance(value, dict) and "prefix" in value:
            value = f"{value['prefix']['addr']}/{value['prefix']['len']}"
        if not isinstance(value, str):
            return None
        return destination_in(self._traffic, value) if field == "daddr" else source_in(self._traffic, value)

    def _meta(self, key: Any, value: Any) -> Match:
        traffic = self._traffic
        text = str(value)
        if key == "l4proto":
            return text in PROTOCOL_NAMES
        if key == "nfproto":
            return text == f"ipv{traffic.family}"
        if key == "protocol":
            return text == ("ip" if traffic.family == 4 else "ip6")
        if key in ("iifname", "iif", "oifname", "oif"):
            own = key.startswith("i") == (traffic.direction == "in")
            return own and fnmatchcase(traffic.interface, text)
        if key == "pkttype" and traffic.direction == "in" and traffic.destination is not None:
            return text == ("multicast" if traffic.multicast else "host")
        return None

    def _values(self, rule: Mapping[str, Any], right: Any) -> list[Any] | None:
        """What is compared with, one by one; None where it can't be known."""
        if isinstance(right, str) and right.startswith("@"):
            elements = self._sets.get(self._key(rule, right[1:]))
            if elements is None:
                return None
            right = {"set": elements}
        if isinstance(right, dict) and "set" in right:
            right = right["set"]
        if not isinstance(right, list):
            right = [right]
        plain = [value["elem"]["val"] if isinstance(value, dict) and "elem" in value else value for value in right]
        if any(isinstance(value, dict) and "range" in value for value in plain):
            return self._with_ranges(plain)
        return plain

    def _with_ranges(self, values: list[Any]) -> list[Any] | None:
        """A range of addresses or numbers: ourselves where we are in it, else nothing."""
        found = []
        for value in values:
            if not (isinstance(value, dict) and "range" in value):
                found.append(value)
                continue
            low, high = value["range"]
            if isinstance(low, int) and isinstance(high, int):
                found += [PROTOCOL] if low <= PROTOCOL <= high else []
                continue
            return None
        return found

    @staticmethod
    def _key(where: Mapping[str, Any], name: str) -> str:
        return f"{where['family']}/{where['table']}/{name}"


def _any(matches: Any) -> Match:
    found = list(matches)
    if True in found:
        return True
    return None if None in found else False
