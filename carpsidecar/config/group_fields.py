"""The settings of a group."""

from typing import Annotated, Literal

import msgspec

from carpsidecar.config.field import field

AuthMode = Literal["carp", "hardened"]
Texts = str | list[str]

COMMAND = "give a command without shell syntax, or a list of its words"
NAME = r"^[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?(?!\n)$"
# What the kernel allows in a name: 15 bytes, no slash, colon or space.
_INTERFACE = r"^[!-.0-9;-~]{1,15}(?!\n)$"
BOOL = "give true or false"

_FIELDS = (
    field(
        "vip",
        Texts,
        "virtual address; /32 or /128 unless a prefix is given",
        "give an IP address such as 192.0.2.100 or 2001:db8::100",
        repeats=True,
    ),
    field(
        "interface",
        str,
        "network interface (default: the one of the route to the first vip)",
        "give the name of a network interface, as `ip link` shows it",
        pattern=_INTERFACE,
    ),
    field(
        "vhid",
        int,
        "virtual host id, the same on every node (default: the first vip's last byte)",
        "give a number from 1 to 255",
        ge=1,
        le=255,
    ),
    field(
        "passphrase_file",
        str,
        "file whose first line is the passphrase",
        "give the path of a file that only its owner can read",
        min_length=1,
    ),
    field(
        "passphrase_fd",
        int,
        "open file descriptor to read the passphrase from",
        "give the number of an open descriptor",
        ge=0,
        le=2**31 - 1,
    ),
    field(
        "passphrase",
        str,
        "the passphrase itself; a flag shows it to everybody who runs ps",
        "give text, in quotes where it looks like a number",
        min_length=1,
    ),
    field(
        "auth",
        AuthMode,
        "carp: as ucarp and the BSDs; hardened: every field signed, replays refused, our own nodes only"
        " (default carp)",
        "give carp or hardened",
    ),
    field(
        "advbase",
        int,
        "seconds between two advertisements (default 1)",
        "give a number from 0 to 254",
        ge=0,
        le=254,
    ),
    field(
        "advskew",
        Annotated[int, msgspec.Meta(ge=0, le=254)] | Literal["auto"],
        "1/256 s added to advbase; the node with the least is preferred; auto: of the node's address (default 0)",
        "give a number from 0 to 254, or auto",
    ),
    field(
        "dead_ratio",
        int,
        "advbases without an advertisement after which a backup takes over (default 3)",
        "give a number from 1 to 255",
        ge=1,
        le=255,
    ),
    field("preempt", bool, "take over from a master that is less preferred (default false)", BOOL),
    field(
        "source",
        Texts,
        "this node's address to advertise from, one a family (default: the interface's)",
        "give an address of this node on the interface",
        repeats=True,
    ),
    field(
        "peer",
        Texts,
        "send to these addresses instead of the multicast group",
        "give the addresses of the other nodes",
        repeats=True,
    ),
    field(
        "multicast",
        Texts,
        "multicast group, one a family (default 224.0.0.18 and ff02::12)",
        "give a multicast address such as 239.192.0.18",
        repeats=True,
    ),
    field(
        "broadcast",
        bool,
        "send in Ethernet broadcasts, as ucarp --nomcast; IPv4 only (default false)",
        BOOL,
    ),
    field(
        "sync_group",
        str,
        "groups with one name here move together: trouble in one demotes them all",
        "give a short name in lower case",
        pattern=NAME,
    ),
    field("on_master", Texts, "command to run after this node became master", COMMAND),
    field("on_backup", Texts, "command to run after this node became backup", COMMAND),
    field("on_fault", Texts, "command to run when this node can't take part (default: on_backup)", COMMAND),
    field(
        "hook_timeout_s",
        float,
        "seconds after which a command is ended (default 60)",
        "give a number of seconds above zero",
        gt=0,
        le=86400,
    ),
    field(
        "ignore_link",
        bool,
        "stay in the election while the link is down (default false)",
        BOOL,
    ),
)

NAMED = (
    *_FIELDS,
    field(
        "name",
        str,
        "the group's name in logs, status and labels (default: vhid-N)",
        "give a short name in lower case",
        pattern=NAME,
    ),
)
