"""Pools of addresses: what lies in them, in which order, and what can't be one."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carpsidecar.pools import Pool, PoolError, Pools, parse_range


def pool(name: str, *texts: str) -> Pool:
    return Pool(name, tuple(map(parse_range, texts)))


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("192.0.2.200-192.0.2.250", "192.0.2.200", "192.0.2.250"),
        (" 192.0.2.7 - 192.0.2.7 ", "192.0.2.7", "192.0.2.7"),
        ("192.0.2.7", "192.0.2.7", "192.0.2.7"),
        ("192.0.2.192/26", "192.0.2.192", "192.0.2.255"),
        ("192.0.2.0/24", "192.0.2.1", "192.0.2.254"),
        ("10.0.0.0/8", "10.0.0.1", "10.255.255.254"),
        ("2001:db8::/120", "2001:db8::1", "2001:db8::ff"),
        ("2001:db8::7/128", "2001:db8::7", "2001:db8::7"),
    ],
)
def test_a_network_or_a_range(text: str, first: str, last: str) -> None:
    found = parse_range(text)
    assert (str(found.first), str(found.last)) == (first, last)
    assert parse_range(str(found)) == found


@pytest.mark.parametrize(
    "text",
    [
        *("", "-", "/", "192.0.2.0/33", "192.0.2.1/24", "192.0.2.9-192.0.2.1", "192.0.2.1-2001:db8::1", "a.b.c.d"),
        *("192.0.2.1-192.0.2.2-192.0.2.3", "2001:db8::1%eth0", "0.0.0.0", "224.0.0.1", "127.0.0.1", "::", "::1"),
        *("ff02::1", "fe80::/64", "255.255.255.255", "192.0.2.1-255.255.255.255", "::/0", "0.0.0.0-0.0.0.9"),
    ],
)
def test_what_is_neither_says_what_to_give(text: str) -> None:
    with pytest.raises(PoolError, match=r": give |: leave "):
        parse_range(text)


def test_addresses_come_in_the_order_given() -> None:
    found = list(pool("a", "192.0.2.9-192.0.2.10", "192.0.2.1-192.0.2.2"))
    assert [address.packed[-1] for address in found] == [9, 10, 1, 2]


def test_the_pool_of_an_address_is_found_and_of_a_huge_one_too() -> None:
    pools = Pools([pool("a", "192.0.2.0/24"), pool("b", "2001:db8::/64")])
    found = [pools.pool_of(ip_address(text)) for text in ("192.0.2.77", "2001:db8::ffff:1", "198.51.100.1")]
    assert [one.name if one else None for one in found] == ["a", "b", None]
    assert str(next(iter(found[1] or ()))) == "2001:db8::1"
    assert pools.named("b") is found[1]
    assert pools.named("c") is None


def test_pools_that_overlap_are_named_with_what_overlaps() -> None:
    with pytest.raises(PoolError, match="of pool a and pool b overlap"):
        Pools([pool("a", "192.0.2.0/24"), pool("c", "198.51.100.1"), pool("b", "192.0.2.250-192.0.3.9")])
    with pytest.raises(PoolError, match="of pool a overlap"):
        Pools([pool("a", "192.0.2.1-192.0.2.9", "192.0.2.9")])


def test_one_name_for_two() -> None:
    with pytest.raises(PoolError, match="'a'"):
        Pools([pool("a", "192.0.2.1"), pool("a", "192.0.2.2")])


ranges = st.tuples(st.integers(0, 200), st.integers(0, 40)).map(lambda at: (at[0], min(at[0] + at[1], 250)))


@given(st.lists(ranges, min_size=1, max_size=6))
def test_an_overlap_is_found_wherever_it_is(given: list[tuple[int, int]]) -> None:
    listed = [at for first, last in given for at in range(first, last + 1)]
    pools = [pool(f"p{n}", f"10.0.0.{first}-10.0.0.{last}") for n, (first, last) in enumerate(given)]
    if len(set(listed)) == len(listed):
        assert [int(address) & 255 for one in Pools(pools) for address in one] == listed
    else:
        with pytest.raises(PoolError):
            Pools(pools)
