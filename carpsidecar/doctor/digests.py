"""Why a digest or a fingerprint does not fit: which small change of our settings makes it fit.

Either says only yes or no, so this tries what people get wrong: an address more, less or another one, the line
end or quotes that got into a passphrase, and what cut it short.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network
from itertools import combinations

from carpsidecar.capture.datagram import Datagram
from carpsidecar.capture.verify import DigestStatus, Verifier
from carpsidecar.protocol.hardened_packet import HardenedPacket
from carpsidecar.protocol.keys import fingerprint
from carpsidecar.protocol.packet import Advertisement, IPAddress

_ADDRESSES_TRIED_MAX = 1024
_SUBSETS_OF_MAX = 8
Network = IPv4Network | IPv6Network


Message = Advertisement | HardenedPacket


def fits(
    message: Message, datagram: Datagram, passphrases: Sequence[bytes], addresses: Collection[IPAddress]
) -> bool:
    """Whether one of these signed it, in the mode that the packet itself says."""
    return Verifier(passphrases, addresses).check(message, datagram) is DigestStatus.OK


def address_difference(
    message: HardenedPacket,
    addresses: Sequence[IPAddress],
    seen: Iterable[IPAddress] = (),
    networks: Iterable[Network] = (),
) -> str | None:
    """Which addresses its sender has; None where nothing that was tried has its fingerprint. Arguments as below."""
    for text, one in _near(addresses, seen, networks):
        if fingerprint(one) == message.fingerprint:
            return _worded(text, one, addresses)
    return None


def difference(
    message: Message,
    datagram: Datagram,
    passphrase: bytes,
    addresses: Sequence[IPAddress],
    seen: Iterable[IPAddress] = (),
    networks: Iterable[Network] = (),
) -> str | None:
    """What its sender has otherwise, for people; None where nothing that was tried fits.

    Args:
        seen: further addresses that it may have.
        networks: whose addresses it may have; the small ones are tried in full.
    """
    sets: list[Sequence[IPAddress]] = [addresses]
    if isinstance(message, Advertisement):
        for text, one in _near(addresses, seen, networks):
            if fits(message, datagram, [passphrase], one):
                return _worded(text, one, addresses)
        sets += _subsets(addresses) if len(addresses) <= _SUBSETS_OF_MAX else ()
    for text, other in _passphrases(passphrase):
        for one in sets:
            if other and fits(message, datagram, [other], one):
                alike = set(one) == set(addresses)
                return text if alike else f"{text}; and its addresses are {_list(one)}"
    return None


def _near(
    addresses: Sequence[IPAddress], seen: Iterable[IPAddress], networks: Iterable[Network]
) -> Iterator[tuple[str, Sequence[IPAddress]]]:
    """Sets of addresses that differ a little from ours, each with what to say of it."""
    further = list(dict.fromkeys([*seen, *_all_of(networks)]))[:_ADDRESSES_TRIED_MAX]
    for text, sets in _address_sets(addresses, further):
        for one in sets:
            yield text, one


def _worded(text: str, theirs: Sequence[IPAddress], ours: Sequence[IPAddress]) -> str:
    return text.format(_list(sorted(set(theirs) ^ set(ours), key=str)), _list(theirs))


def _address_sets(
    addresses: Sequence[IPAddress], further: Sequence[IPAddress]
) -> Iterator[tuple[str, Iterable[Sequence[IPAddress]]]]:
    others = [address for address in further if address not in addresses]
    yield "its addresses are {1}: {0} is missing there", _subsets(addresses)
    yield "its addresses are {1}: {0} is more than here", ([*addresses, other] for other in others)
    yield "its only address is {1}", ([other] for other in others)
    yield (
        "its addresses are {1}",
        ([*addresses[:at], other, *addresses[at + 1 :]] for at in range(len(addresses)) for other in others)
        if len(addresses) <= _SUBSETS_OF_MAX
        else (),
    )


def _subsets(addresses: Sequence[IPAddress]) -> Iterator[Sequence[IPAddress]]:
    """Smaller ones: all where they are few, else without one, one alone, and one family alone."""
    if len(addresses) <= _SUBSETS_OF_MAX:
        for size in range(len(addresses) - 1, 0, -1):
            yield from combinations(addresses, size)
        return
    for at in range(len(addresses)):
        yield [*addresses[:at], *addresses[at + 1 :]]
    for family in (4, 6):
        yield [address for address in addresses if address.version == family]
    for address in addresses:
        yield [address]


def _passphrases(passphrase: bytes) -> Iterator[tuple[str, bytes]]:
    """Never shown, only described."""
    for text, ending in (
        ("a line feed", b"\n"),
        ("a carriage return", b"\r"),
        ("CR LF", b"\r\n"),
        ("a blank", b" "),
    ):
        yield f"its passphrase has {text} more at the end", passphrase + ending
    yield "its passphrase has no blanks or line ends around it", passphrase.strip()
    for quote in (b'"', b"'"):
        yield "its passphrase has quotes around it", quote + passphrase + quote
        yield "its passphrase has no quotes around it", passphrase.strip(quote)
    yield "its passphrase is in upper case", passphrase.upper()
    yield "its passphrase is in lower case", passphrase.lower()
    for length in range(len(passphrase) - 1, 0, -1):
        yield f"its passphrase is ours cut after {length} bytes", passphrase[:length]


def _all_of(networks: Iterable[Network]) -> Iterator[IPAddress]:
    for network in networks:
        if network.num_addresses <= _ADDRESSES_TRIED_MAX:
            yield from network.hosts()


def _list(addresses: Iterable[IPAddress]) -> str:
    return ", ".join(map(str, addresses))
