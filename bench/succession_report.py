"""How many nodes become master, in tables."""

from statistics import median

from bench.load import LABELS
from bench.section import duration, table
from bench.successor import HandOvers, Losses, Succession

_ONE, _OURS = "exactly one", "ours at 1 s"
_LOST_MEDIAN_S, _LOST_MOST_S = 0.7, 1.25


def body(succession: Succession) -> list[str]:
    rows = [
        (
            *(str(h.nodes), str(h.groups), h.advskews, LABELS[h.load]),
            *(f"{h.exactly_one} of {h.number}", str(h.most), duration(h.longest_s)),
        )
        for h in succession.hand_overs
    ]
    losses = succession.losses
    return [
        "### One successor",
        "",
        "A master hands over with a bow-out: how many of the others take the address, or report that they are"
        " master. Of one group the master is asked to step down; of many groups it is stopped, and it is"
        " counted group by group. The longest time is from the request to the address, of many groups until all"
        " have a master that has reported it.",
        "",
        table(
            ("nodes", "groups", "advskews", "load", "one successor", "most successors", "longest"),
            rows,
        ),
        "",
        f"The machine that is master of {losses.groups} groups is lost, each time at another moment between two"
        f" advertisements: from there to each group's announcement {_lost(losses)}; one successor in"
        f" {losses.exactly_one} of {len(losses.times_s)}.",
        "",
    ]


def goals(succession: Succession) -> list[list[str]]:
    """Lines of the table of goals."""
    rows = [
        [
            *(f"handed over: {_what(h)}: nodes that become master", _OURS, "every round", _ONE),
            *(f"{h.exactly_one} of {h.number}", _reached(h.exactly_one == h.number)),
        ]
        for h in succession.hand_overs
    ]
    losses = succession.losses
    middle, most = median(losses.times_s), max(losses.times_s)
    lost = f"machine lost, master of {losses.groups} groups: until announced"
    one = losses.exactly_one == len(losses.times_s)
    share = f"{losses.exactly_one} of {len(losses.times_s)}"
    return [
        *rows,
        [lost, _OURS, "median", duration(_LOST_MEDIAN_S), duration(middle), _reached(middle <= _LOST_MEDIAN_S)],
        [lost, _OURS, "every round", duration(_LOST_MOST_S), duration(most), _reached(most <= _LOST_MOST_S)],
        [f"{lost}: nodes that become master", _OURS, "every round", _ONE, share, _reached(one)],
    ]


def _what(hand_overs: HandOvers) -> str:
    groups = f", {hand_overs.groups} groups" if hand_overs.groups > 1 else ""
    load = "" if hand_overs.load == "idle" else f", {LABELS[hand_overs.load]}"
    return f"{hand_overs.nodes} nodes{groups}, {hand_overs.advskews} advskews{load}"


def _lost(losses: Losses) -> str:
    times = losses.times_s
    return f"{duration(median(times))} ({duration(min(times))} to {duration(max(times))})"


def _reached(yes: bool) -> str:
    return "yes" if yes else "**no**"
