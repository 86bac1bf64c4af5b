"""The status for people."""

import pytest

from carpsidecar.cli.status_table import Table
from carpsidecar.status.formatting import span
from carpsidecar.status.model import NodeStatus, Unreachable
from tests.unit.status.builders import NOW_S, backup, drained, engine, group, peer


def shown(*engines: NodeStatus, whole: bool = False, colour: bool = False, width: int = 80) -> list[str]:
    return list(Table(width=width, colour=colour).lines(engines, [], whole))


def test_all_that_is_known_of_one() -> None:
    one = group(
        addresses=["192.0.2.100", "192.0.2.101"],
        advskew_advertised=240,
        **drained("a new kernel, and the disks of the second shelf, one after the other"),
        peers={
            "192.0.2.12": peer(),
            "192.0.2.113": peer(authentic=False, interval_s=1.0),
            "192.0.2.14": peer(interval_s=255 + 255 / 256),
        },
        counters={"advertisements_sent": 10_000, "lease_renewals": 10_000, "hooks_failed": 3},
        problems=["master, but the kernel does not have 192.0.2.101"],
    )
    assert shown(engine(one, drops={"eth0": {"digest": 7}})) == [
        "web: MASTER for 3 h 4 min: no advertisement from the master",
        "  PROBLEM     master, but the kernel does not have 192.0.2.101",
        "  interface   eth0, link up, vhid 100",
        "  addresses   192.0.2.100, in the kernel for 2 s yet",
        "              192.0.2.101, not in the kernel",
        "  lease       1.6 s left",
        "  interval    1.04 s (advbase 1, advskew 10, advertised 240), dead ratio 3",
        "  demotions   demoted by 240, operator: a new kernel, and the disks of the",
        "              second shelf, one after the other",
        "  master      192.0.2.11, this node, advertised 0.4 s ago",
        "  peers       192.0.2.12   each 1.5 s, heard 12 s ago",
        "              192.0.2.113  each 1 s, heard 12 s ago, digest does not fit: see",
        "              carpsidecar doctor",
        "              192.0.2.14   bowed out 12 s ago",
        "  counters    advertisements sent 10000, lease renewals 10000, hooks failed 3,",
        "              dropped digest 7",
    ]


def test_services_have_a_table_of_their_own_and_what_holds_for_many_is_said_once() -> None:
    many = [
        group(
            f"lb-{1000 + n}",
            services=[f"default/web-{n}", *(["default/dns"] if n == 1 else [])],
            addresses=[f"192.0.2.{200 + n}"],
            **drained("maintenance"),
        )
        for n in (2, 1)
    ]
    elsewhere = backup("lb-1003", services=["shop/db"], addresses=["2001:db8::7"], reason="no ready endpoint here")
    lines = shown(engine(group(), *many, elsewhere), width=110)
    assert lines == [
        "GROUP  ROLE    FOR        INTERFACE  MASTER     ADDRESSES",
        "web    master  3 h 4 min  eth0       this node  192.0.2.100",
        "",
        "SERVICE           ADDRESS      GROUP    ROLE    FOR        MASTER      WHY",
        "default/web-1 +1  192.0.2.201  lb-1001  master  3 h 4 min  this node   no advertisement from the master",
        "default/web-2     192.0.2.202  lb-1002  master  3 h 4 min  this node   no advertisement from the master",
        "shop/db           2001:db8::7  lb-1003  backup  3 h 4 min  192.0.2.12  no ready endpoint here",
        "lb-1001 and 1 more: demoted by 240, operator: maintenance",
        "All that is known of one: carpsidecar status GROUP",
    ]
    assert max(map(len, shown(engine(group(), *many, elsewhere), width=80))) <= 80
    assert "  services    default/web-1" in shown(engine(many[1]), whole=True)


def test_of_several_groups_a_line_each_and_what_stands_out() -> None:
    engine_ = engine(
        group(addresses=["192.0.2.100", "192.0.2.101", "192.0.2.102"], problems=["master, but the link is down"]),
        backup("mail", **drained("")),
        backup("a-long-name", role="fault", reason="the link of eth1 is down", master=None, interface="eth1"),
    )
    assert shown(engine_) == [
        "GROUP        ROLE    FOR        INTERFACE  MASTER      ADDRESSES",
        "web          master  3 h 4 min  eth0       this node   192.0.2.100 +2",
        "mail         backup  3 h 4 min  eth0       192.0.2.12  192.0.2.100",
        "a-long-name  fault   3 h 4 min  eth1       none        192.0.2.100",
        "web: master, but the link is down",
        "mail: demoted by 240, operator",
        "a-long-name: the link of eth1 is down",
        "All that is known of one: carpsidecar status GROUP",
    ]
    assert len(shown(engine_, whole=True)) > len(shown(engine_))


def test_a_silent_engine_and_a_socket_without_one_are_reported() -> None:
    silent = engine(backup(), answers=False, silent_s=12.2)
    assert shown(silent)[0] == "The engine has been silent for 12 s: what follows is what it reported last."
    left = [Unreachable(socket="/run/carpsidecar/7.sock", why="nobody listens there any more")]
    assert list(Table(width=80, colour=False).lines([], left, whole=False)) == [
        "/run/carpsidecar/7.sock: nobody listens there any more"
    ]


def test_several_engines_have_heads() -> None:
    lines = shown(engine(group()), engine(pid=12))
    assert lines[0] == "engine 4711, version 1.2.3"
    assert lines[-3:] == ["", "engine 12, version 1.2.3", "The engine has no group yet."]


def test_colours_add_nothing_but_colour() -> None:
    engine_ = engine(group(**drained(), problems=["x"], peers={"192.0.2.12": peer(authentic=False)}))
    coloured = "\n".join(shown(engine_, colour=True, width=200))
    assert "\x1b[32mMASTER\x1b[0m" in coloured
    for code in ("0", "1", "2", "32", "33", "1;31"):
        coloured = coloured.replace(f"\x1b[{code}m", "")
    assert coloured == "\n".join(shown(engine_, width=200))


def test_nothing_can_move_the_cursor() -> None:
    one = group("we\x1bb", reason="a\x1b[2Jb\nc", **drained("\x07"), problems=["\x9b2J"])
    text = "".join(shown(engine(one)))
    assert all(character.isprintable() for character in text)


def test_no_master_and_no_link_are_seen() -> None:
    lines = shown(engine(backup(master=None, link=False, master_advertised_s=NOW_S)))
    assert "  interface   eth0, link down, vhid 100" in lines
    assert "  master      none is heard" in lines


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1.0, "0.0 s"),
        (0.44, "0.4 s"),
        (9.96, "10 s"),
        (12.4, "12 s"),
        (99.4, "99 s"),
        (100, "1 min 40 s"),
        (120, "2 min"),
        (5999, "99 min 59 s"),
        (11_040, "3 h 4 min"),
        (359_999, "99 h 59 min"),
        (400_000, "4 d 15 h"),
    ],
)
def test_a_length_of_time_has_two_units_at_most(seconds: float, text: str) -> None:
    assert span(seconds) == text
