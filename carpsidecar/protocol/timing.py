"""The times of the protocol, from what is configured and advertised.

CARP counts time in ticks of 1/256 s: an advertisement says "every advbase seconds and advskew ticks". Ticks are
whole numbers, so intervals compare exactly. Source: ip_carp.c of OpenBSD, and ucarp 1.5.2, whose backup forgets
the dead ratio where advbase is 0, and flaps; here it counts there too.
"""

TICKS_PER_S = 256
ADVSKEW_DEMOTED = 240
"""The advskew that demotion can raise to, and no further (FreeBSD's CARP_MAXSKEW)."""

BOW_OUT_ADVBASE = 255
BOW_OUT_ADVSKEW = 255
"""A master that leaves advertises both, and every backup knows that it is not coming back."""


def interval_ticks(advbase: int, advskew: int) -> int:
    """The time between two advertisements. Both zero mean the shortest, one tick, as in OpenBSD."""
    return advbase * TICKS_PER_S + advskew or 1


def master_down_ticks(advbase: int, advskew: int, dead_ratio: int) -> int:
    """How long a backup waits for the master before it takes over."""
    if advbase == 0:
        return dead_ratio * interval_ticks(0, advskew)
    return dead_ratio * advbase * TICKS_PER_S + advskew


def demoted_advskew(advskew: int, demotion: int) -> int:
    """What a demoted node advertises and compares: more skew, up to 240; a higher configured one stays."""
    return max(advskew, min(ADVSKEW_DEMOTED, advskew + demotion))


def winning_advskew(advbase: int, advskew: int, their_ticks: int, wins_ties: bool) -> int | None:
    """The largest advskew, up to this one, with which a master of that interval yields; None: with none it does."""
    ticks = their_ticks - 1
    if interval_ticks(advbase, 0) > ticks and wins_ties:
        ticks += 1
    largest = ticks - advbase * TICKS_PER_S
    if largest < 0 or interval_ticks(advbase, largest) > ticks:
        return None
    return min(advskew, largest)


def lease_lifetime_s(advbase: int, advskew: int, dead_ratio: int) -> int:
    """The valid lifetime of a master's addresses, in whole seconds, as the kernel counts them.

    Linux drops an address of lifetime 2 s after up to 2.4 s, so one second less than a backup's patience is the
    longest that still ends before a backup with the same settings takes over.
    """
    return max(1, master_down_ticks(advbase, advskew, dead_ratio) // TICKS_PER_S - 1)
