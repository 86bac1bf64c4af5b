"""Which settings a group goes by, of those that it was given."""

from carpsidecar.config.group import GroupConfig
from carpsidecar.protocol.effects import Settings
from carpsidecar.protocol.packet import IPAddress

_AUTO_ADVSKEWS, _AUTO_ADVSKEW_STEP = 32, 4
"""More would make the last nodes advertise ever more slowly. Smaller steps are lost in a busy machine's delays, and
then two backups take over at once."""


def advskew_of(source: IPAddress, vhid: int) -> int:
    """An order of the nodes that needs no configuration: by the last byte of their addresses, permuted by the vhid.

    Odd factors keep apart what differs, and these two spread consecutive vhids over consecutive addresses: of N
    nodes, each is first for one group in N, give or take one.
    """
    factor = 9 if vhid % 2 else 25
    return (source.packed[-1] * factor + 25 * vhid) % _AUTO_ADVSKEWS * _AUTO_ADVSKEW_STEP


def settings_in_force(config: GroupConfig, asked_for: int | None, source: IPAddress | None) -> Settings:
    """With the advskew that was asked for, that of the node's address, or the configured one."""
    advskew = config.settings.advskew
    if asked_for is not None:
        advskew = asked_for
    elif config.auto_advskew and source is not None:
        advskew = advskew_of(source, config.vhid)
    return config.settings._replace(advskew=advskew)


def keeps_state(before: GroupConfig, after: GroupConfig) -> bool:
    """Whether only such settings differ as can change without giving up the state."""

    def identity(of: GroupConfig) -> tuple[object, ...]:
        return of.name, of.interface, of.vhid, of.auth, of.holds_addresses

    return identity(before) == identity(after)
