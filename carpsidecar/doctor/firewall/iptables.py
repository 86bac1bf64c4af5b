"""The answer of `iptables-save` and `ip6tables-save`. Source: iptables(8), iptables-extensions(8)."""

import shlex
from collections.abc import Sequence

from carpsidecar.doctor.firewall.ruleset import (
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

_HOOKS = {"in": ("PREROUTING", "INPUT"), "out": ("OUTPUT", "POSTROUTING")}
_VERDICTS = {"ACCEPT": "accept", "DROP": "drop", "REJECT": "drop", "RETURN": "return"}
_ALWAYS = ("-m", "--match", "--comment", "-c", "--set-counters")


def read(listing: str, traffic: Traffic, tool: str) -> tuple[list[Base], dict[str, list[Rule]]]:
    """The chains that this traffic enters, and all rules as they apply to it.

    Raises:
        ValueError: it is not what iptables-save says.
    """
    bases: list[Base] = []
    chains: dict[str, list[Rule]] = {}
    table = ""
    for line in listing.splitlines():
        if line.startswith("*"):
            table = line[1:].strip()
        elif line.startswith(":") and table != "nat":
            name, policy = line[1:].split()[:2]
            chains[f"{table}/{name}"] = []
            if policy != "-" and name in _HOOKS[traffic.direction]:
                label = f"{tool} table {table}, chain {name}"
                bases.append(Base(f"{table}/{name}", "drop" if policy == "DROP" else "accept", label))
        elif line.startswith("-A ") and table != "nat":
            _, name, *tokens = shlex.split(line)
            chains.setdefault(f"{table}/{name}", []).append(_rule(table, tokens, line, traffic))
    return bases, chains


def _rule(table: str, tokens: Sequence[str], line: str, traffic: Traffic) -> Rule:
    matches: list[Match] = []
    at = 0
    while at < len(tokens):
        negated = tokens[at] == "!"
        at += negated
        option = tokens[at] if at < len(tokens) else ""
        end = at + 1
        while end < len(tokens) and not tokens[end].startswith("-") and tokens[end] != "!":
            end += 1
        values = tokens[at + 1 : end]
        if option in ("-j", "--jump", "-g", "--goto"):
            return _decided(table, option, values[0] if values else "", matches, line, traffic)
        if option not in _ALWAYS:
            match = _match(option, " ".join(values), traffic)
            matches.append(negate(match) if negated else match)
        at = end
    return Rule(both(matches), "")


def _decided(table: str, option: str, target: str, matches: Sequence[Match], line: str, traffic: Traffic) -> Rule:
    tokens = shlex.split(line)
    about_us = any(name in tokens for name in PROTOCOL_NAMES) or f"{traffic.destination}/" in line
    if target in _VERDICTS:
        return Rule(both(matches), _VERDICTS[target], "", f"`{line}`", about_us)  # type: ignore[arg-type]
    if target.isupper() and option in ("-j", "--jump"):
        # LOG, MARK and the like pass it on; so does a chain of that name, which is looked up.
        return Rule(both(matches), "jump", f"{table}/{target}", f"`{line}`", about_us)
    return Rule(both(matches), "goto" if option in ("-g", "--goto") else "jump", f"{table}/{target}", f"`{line}`")


def _match(option: str, value: str, traffic: Traffic) -> Match:
    match option:
        case "-p" | "--protocol":
            return value in (*PROTOCOL_NAMES, "all", "0")
        case "-s" | "--source":
            return source_in(traffic, value)
        case "-d" | "--destination":
            return destination_in(traffic, value)
        case "-i" | "-o" | "--in-interface" | "--out-interface":
            own = option.lstrip("-").startswith("i") == (traffic.direction == "in")
            wild = value.endswith("+") and traffic.interface.startswith(value[:-1])
            return own and (wild or traffic.interface == value)
        case "--ctstate" | "--state":
            return is_new(value.split(","), traffic)
        case "--dst-type" | "--pkt-type":
            if traffic.destination is None:
                return None
            return value.lower() == "multicast" if traffic.multicast else None
    return None
