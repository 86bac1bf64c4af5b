"""The network of one scene: its machines, its client, and how each fault is done and undone."""

import random
import time
from contextlib import ExitStack
from typing import Self

from carpsidecar.lab.commands import run
from carpsidecar.lab.holders import HolderWatch
from carpsidecar.lab.network import Lab
from tests.network.soak.facts import Facts, Kind, Trouble
from tests.network.soak.faults import Fault, another_advskew
from tests.network.soak.machine import Machine
from tests.network.soak.scene import Scene
from tests.support.waits import Delay

_MOMENTARY = {Kind.RELOAD, Kind.REMOVE, Kind.ASK}


class SoakLab:
    def __init__(self, scene: Scene, rng: random.Random) -> None:
        self.scene = scene
        self._rng = rng
        self._stack = ExitStack()
        self._delays: dict[Fault, Delay] = {}

    def __enter__(self) -> Self:
        self.lab = self._stack.enter_context(Lab())
        self.nodes = nodes = [self.lab.node(name) for name in self.scene.names]
        self.client, self.asker = self.lab.node("client"), self.lab.node("asker")
        self.watch = self._stack.enter_context(HolderWatch(nodes, self.scene.vip))
        self.machines = {
            node.name: Machine(node, self.scene, advskew, self.lab.directory)
            for node, advskew in zip(nodes, self.scene.advskews, strict=True)
        }
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def start(self) -> None:
        for machine in self.machines.values():
            machine.launch()
        for machine in self.machines.values():
            machine.wait_until_up()

    def note_settings(self, facts: Facts) -> None:
        """The longest interval and lifetime of the round, and the advskew that is the last."""
        for name, machine in self.machines.items():
            interval_s = self.scene.interval_s(machine.advskew)
            lifetime_s = self.scene.lifetime_s(machine.advskew)
            facts.intervals_s[name] = max(interval_s, facts.intervals_s.get(name, 0))
            facts.lifetimes_s[name] = max(lifetime_s, facts.lifetimes_s.get(name, 0))
            silent_s = self.scene.master_down_s(machine.advskew)
            facts.silent_s[name] = max(silent_s, facts.silent_s.get(name, 0))
            facts.advskews[name] = machine.advskew
        facts.asked = {name: m.asked_at for name, m in self.machines.items() if m.asked_at is not None}

    def strike(self, fault: Fault, facts: Facts) -> Trouble:
        trouble = Trouble(fault.kind, fault.nodes, time.monotonic())
        facts.troubles.append(trouble)
        self._delays[fault] = Delay(*(self.machines[name].process for name in fault.nodes))
        trouble.detail = self._strike(fault)
        trouble.struck = time.monotonic()
        self.note_settings(facts)
        if fault.kind in _MOMENTARY:
            trouble.end = trouble.undone_from = time.monotonic()
        return trouble

    def undo(self, fault: Fault, trouble: Trouble, facts: Facts) -> None:
        now = time.monotonic()
        if fault.kind is Kind.RELOAD and trouble.detail == _BROKEN:
            trouble = Trouble(fault.kind, fault.nodes, now, detail=": mended")
            facts.troubles.append(trouble)
        elif fault.kind in _MOMENTARY:
            return
        trouble.undone_from = now
        trouble.waited_s = self._delays[fault].s
        self._undo(fault)
        trouble.end = time.monotonic()
        self.note_settings(facts)

    def _strike(self, fault: Fault) -> str:
        machine = self.machines[min(fault.nodes)]
        node = machine.node
        match fault.kind:
            case Kind.KILL:
                machine.kill()
            case Kind.HANG:
                machine.hang()
            case Kind.STOP:
                machine.stop()
            case Kind.CABLE:
                node.pull_cable()
            case Kind.CUT_OFF:
                node.cut_off()
            case Kind.HALVES:
                self._part(fault.nodes)
            case Kind.DEAF:
                node.drop_incoming()
            case Kind.MUTE:
                node.drop_outgoing()
            case Kind.LOSSY:
                node.lose_fraction(fault.detail)
                return f": {fault.detail:.0f} %"
            case Kind.INTERFACE:
                node.delete_interface()
            case Kind.RELOAD:
                return self._reload(machine, fault.detail)
            case Kind.REMOVE:
                return "" if machine.remove_address() else ", but had none"
            case Kind.ASK:
                machine.ask_to_step_down()
            case Kind.CLOCK:
                machine.set_clock(fault.detail)
                return f" by {fault.detail:+.0f} s"
        return ""

    def _undo(self, fault: Fault) -> None:
        machine = self.machines[min(fault.nodes)]
        node = machine.node
        match fault.kind:
            case Kind.KILL | Kind.STOP:
                machine.start()
            case Kind.HANG:
                machine.resume()
            case Kind.CABLE:
                node.plug_cable()
            case Kind.HALVES:
                self._nft("")
            case Kind.CUT_OFF | Kind.DEAF | Kind.MUTE | Kind.LOSSY:
                node.rejoin()
            case Kind.INTERFACE:
                node.create_interface()
            case Kind.RELOAD:
                machine.reload_same()
            case Kind.CLOCK:
                machine.set_clock(0)

    def _reload(self, machine: Machine, which: float) -> str:
        if which < 0.2:
            machine.reload_same()
            return ": the same"
        if which < 0.4:
            machine.reload_broken()
            return _BROKEN
        if which < 0.6:
            machine.reload_renamed()
            return ": renamed"
        taken = {other.advskew for other in self.machines.values()}
        machine.reload_other_advskew(another_advskew(self._rng, self.scene, taken))
        return f": advskew {machine.advskew}"

    def _part(self, half: frozenset[str]) -> None:
        """The client hears both halves."""
        one = ", ".join(f'"p-{name}"' for name in sorted(half))
        other = ", ".join(f'"p-{name}"' for name in sorted(self.machines.keys() - half))
        self._nft(
            "chain between { type filter hook forward priority 0; policy accept;\n"
            f"iifname {{ {one} }} oifname {{ {other} }} drop\n"
            f"iifname {{ {other} }} oifname {{ {one} }} drop\n}}\n"
        )

    def _nft(self, chains: str) -> None:
        rules = f"table bridge soak\ndelete table bridge soak\ntable bridge soak {{\n{chains}}}\n"
        run(["nft", "-f", "-"], namespace=f"{self.lab.name}-switch", stdin=rules)


_BROKEN = ": broken"
