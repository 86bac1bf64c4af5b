"""What of the reporter's commands is followed: what is configured, the newest, and not too often."""

import asyncio
from collections.abc import Callable

import pytest

from carpsidecar.engine.admission import ALL_BURST, ALL_PER_S, GROUP_BURST, GROUP_PER_S, Admission, Answer
from carpsidecar.ipc.messages import (
    Drain,
    GroupCommand,
    Promote,
    Result,
    SetAdvskew,
    SetDemotion,
    SetPeers,
    StepDown,
    Withhold,
)
from carpsidecar.ipc.settings import Check, KubernetesSettings, ReporterSettings
from tests.support.logs import Logged

CHECK = Check(
    name="web", kind="tcp", target=["x:1"], interval_s=1, timeout_s=1, rise=1, fall=1, demotion=50, group="web"
)
POD = KubernetesSettings(
    pod_name="carp-1", pod_namespace="infra", unready_demotion=100, advskew_label="carp/skew", discover_peers=True
)


def settings(**fields: object) -> ReporterSettings:
    return ReporterSettings(software="1", log_format="text", log_level="info", **fields)  # type: ignore[arg-type]


class FakeLoop:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.now = 100.0
        self._calls: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay_s: float, call: Callable[[], None]) -> object:
        self._calls.append((self.now + delay_s, call))
        return call

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self._calls and self._calls[0][0] <= end:
            self.now, call = self._calls.pop()
            call()
        self.now = end


class AdmissionBench:
    def __init__(self, configured: ReporterSettings | None = None, groups: int = 1) -> None:
        self.loop = FakeLoop()
        self.followed: list[GroupCommand] = []
        self.results: dict[int, Result] = {}
        self.names = ["web", *(f"g{number}" for number in range(1, groups))]
        self.admission = Admission(
            self.loop,  # type: ignore[arg-type]
            configured,
            lambda: self.names,
            self._follow,
        )

    def _follow(self, command: GroupCommand, answer: Answer) -> None:
        self.followed.append(command)
        answer(Result(id=command.id, outcome="done"))

    def send(self, command: GroupCommand) -> str | None:
        """Its outcome, where there is one at once."""
        self.admission.handle(command, self._keep)
        return self.results[command.id].outcome if command.id in self.results else None

    def _keep(self, result: Result) -> None:
        assert result.id not in self.results or result.id == 0, "exactly one result"
        self.results[result.id] = result


ALLOWED = [
    SetDemotion(cause="check:web", amount=50, group="web", bow_out=True),
    SetDemotion(cause="check:web", amount=0, group="web"),
    SetDemotion(cause="unready", amount=100),
    SetDemotion(cause="drain", amount=240),
    SetDemotion(cause="terminating", amount=240, group="web"),
    SetAdvskew(advskew=3),
    SetPeers(peers=["192.0.2.12"]),
    Withhold(group="web", text="x"),
    StepDown(),
    Promote(group="web"),
    Drain(text="x"),
]
REFUSED = {
    "another amount": SetDemotion(cause="check:web", amount=51, group="web"),
    "another group": SetDemotion(cause="check:web", amount=50, group="g1"),
    "every group": SetDemotion(cause="check:web", amount=50),
    "a cause that is off": SetDemotion(cause="cordon", amount=1),
    "an invented cause": SetDemotion(cause="mine", amount=1),
    "the operator's, who has a command": SetDemotion(cause="operator", amount=240),
    "the engine's own": SetDemotion(cause="addresses", amount=0),
    "a group that is not there": StepDown(group="nope"),
}


@pytest.mark.parametrize("command", ALLOWED, ids=repr)
def test_what_is_configured_is_followed(command: GroupCommand) -> None:
    bench = AdmissionBench(settings(checks=[CHECK], kubernetes=POD), groups=2)
    assert bench.send(command) == "done"
    assert bench.followed == [command]


@pytest.mark.parametrize("command", REFUSED.values(), ids=REFUSED)
def test_what_is_not_is_refused_with_a_reason(command: GroupCommand) -> None:
    bench = AdmissionBench(settings(checks=[CHECK], kubernetes=POD), groups=2)
    assert bench.send(command) == "refused"
    assert bench.results[0].reason
    assert bench.followed == []


@pytest.mark.parametrize(
    "configured", [None, settings(), settings(kubernetes=KubernetesSettings(pod_name="a", pod_namespace="b"))]
)
def test_peers_and_advskew_are_not_the_reporters_to_set_unless_it_is_configured(
    configured: ReporterSettings | None,
) -> None:
    bench = AdmissionBench(configured)
    assert [bench.send(SetPeers(peers=[])), bench.send(SetAdvskew(advskew=1))] == ["refused"] * 2
    assert bench.send(Withhold(group="web")) == ("done" if configured and configured.kubernetes else "refused")


def test_refusals_are_counted_all_and_logged_a_few(logged: Logged) -> None:
    bench = AdmissionBench()
    for number in range(10_000):
        bench.send(SetPeers(id=number, peers=[]))
        bench.send(SetDemotion(id=10_000 + number, cause=f"c{number}", amount=1))
    assert bench.admission.refused == {"peers": 10_000, "demotion": 10_000}
    assert len(logged.lines) == 2
    assert (
        logged.lines[0] == "a command of the reporter, peers, is refused: the configuration has no discover_peers"
    )


def test_what_a_new_configuration_does_not_allow_any_more_is_refused_from_then_on() -> None:
    bench = AdmissionBench(settings(checks=[CHECK]))
    bench.admission.configure(settings())
    assert bench.send(SetDemotion(cause="check:web", amount=50, group="web")) == "refused"


def test_of_those_that_wait_for_one_group_the_newest_is_followed_and_the_others_are_superseded() -> None:
    bench = AdmissionBench()
    commands = [(StepDown if number % 2 else Promote)(id=number, group="web") for number in range(1, 1001)]
    for command in commands:
        bench.send(command)
    bench.loop.run(1 / GROUP_PER_S + 1)
    assert bench.followed == [*commands[: int(GROUP_BURST)], commands[-1]]
    outcomes = [result.outcome for result in bench.results.values()]
    assert (outcomes.count("done"), outcomes.count("superseded")) == (GROUP_BURST + 1, 1000 - GROUP_BURST - 1)


def test_an_address_moves_at_a_bounded_rate_however_often_it_is_commanded() -> None:
    bench = AdmissionBench()
    seconds = 60
    for step in range(seconds * 200):
        bench.send((StepDown if step % 2 else Promote)())
        bench.send((StepDown if step % 2 else Promote)(group="web"))
        bench.loop.run(0.005)
    assert len(bench.followed) <= 2 * (GROUP_BURST + seconds * GROUP_PER_S)
    assert len(bench.followed) > seconds * GROUP_PER_S


def test_many_groups_do_not_make_many_moves() -> None:
    bench = AdmissionBench(groups=255)
    for name in bench.names:
        assert bench.send(Drain(group=name)) == "done", "an operator's drain of the whole node is no flood"
    seconds, begun = 30, len(bench.followed)
    for step in range(seconds * 20):
        for name in bench.names:
            bench.send((StepDown if step % 2 else Promote)(group=name))
        bench.loop.run(0.05)
    assert len(bench.followed) - begun <= 255 + ALL_BURST + seconds * ALL_PER_S


def test_what_waits_and_what_is_remembered_is_bounded() -> None:
    bench = AdmissionBench(settings(checks=[CHECK], kubernetes=POD))
    for number in range(10_000):
        bench.send(StepDown(group=f"invented-{number}"))
        bench.send(SetDemotion(cause=f"invented-{number}", amount=1))
        bench.send(SetDemotion(cause="unready", amount=number % 101))
    assert len(bench.admission._waiting) <= 1
    assert len(bench.admission._of_group) <= 1


def test_it_works_with_a_real_loop() -> None:
    async def test() -> list[str]:
        outcomes: list[str] = []
        admission = Admission(
            asyncio.get_running_loop(),
            None,
            lambda: ["web"],
            lambda command, answer: answer(Result(id=command.id, outcome="done")),  # type: ignore[arg-type]
        )
        for number in range(int(GROUP_BURST) + 1):
            admission.handle(StepDown(id=number, group="web"), lambda result: outcomes.append(result.outcome))
        async with asyncio.timeout(10):
            while len(outcomes) < GROUP_BURST + 1:
                await asyncio.sleep(0.05)
        return outcomes

    assert asyncio.run(test()) == ["done"] * (int(GROUP_BURST) + 1)
