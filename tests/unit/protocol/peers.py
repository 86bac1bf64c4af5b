"""What the tests of the election share: a group of ours, its peers, and words for what they do."""

from ipaddress import IPv4Address

from carpsidecar.protocol.effects import Addresses, Advertise, Become, Effect, Effects, Reason, Settings, State
from carpsidecar.protocol.election import Election
from carpsidecar.protocol.packet import IPAddress

OURS = IPv4Address("192.0.2.20")
LOWER = IPv4Address("192.0.2.11")
HIGHER = IPv4Address("192.0.2.30")

TAKE, RENEW, RELEASE, ANNOUNCE = Addresses.TAKE, Addresses.RENEW, Addresses.RELEASE, Addresses.ANNOUNCE
BOW_OUT = Advertise(255, 255)
BYE = (255, 255)


def backup(
    advbase: int = 1, advskew: int = 0, dead_ratio: int = 3, preempt: bool = False, source: IPAddress = OURS
) -> Election:
    """A backup that started at 0 s."""
    election = Election(Settings(advbase, advskew, dead_ratio, preempt), source)
    election.start(0.0, link_up=True)
    return election


def master(
    advbase: int = 1, advskew: int = 0, dead_ratio: int = 3, preempt: bool = False, source: IPAddress = OURS
) -> Election:
    """A master, and when it became one."""
    election = backup(advbase, advskew, dead_ratio, preempt, source)
    election.timer_expired(election.master_down_s)
    assert election.state is State.MASTER
    return election


def hear(
    election: Election, now: float, advbase: int, advskew: int, source: IPAddress = HIGHER, demotion: int = 0
) -> Effects:
    return election.advertisement_received(now, advbase, advskew, demotion, source)


def due(election: Election) -> float:
    assert election.deadline is not None
    return election.deadline


def became(effects: Effects) -> Become:
    """The last effect, which must be the only one of its kind."""
    transitions = [effect for effect in effects if isinstance(effect, Become)]
    assert transitions == [effects[-1]]
    return transitions[0]


def takes_over(effects: Effects, sent: Advertise, reason: Reason, peer: IPAddress | None = None) -> bool:
    expected: list[Effect] = [sent, TAKE, ANNOUNCE, Become(State.MASTER, reason, peer)]
    return list(effects) == expected
