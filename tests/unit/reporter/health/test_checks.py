"""A check demotes after as many bad results as were asked for, and takes that back after as many good ones."""

import asyncio
import itertools
import json
import logging
from collections.abc import Sequence

import pytest

from carpsidecar.ipc.messages import SetDemotion, ToEngine
from carpsidecar.ipc.settings import Check
from carpsidecar.reporter.health import checks as module
from carpsidecar.reporter.health.checks import HealthChecks
from carpsidecar.status.stats import CheckStats
from tests.unit.reporter.health.targets import check, until

BAD = SetDemotion(cause="check:db", amount=60, group="web", bow_out=True)
GOOD = SetDemotion(cause="check:db", amount=0, group="web", bow_out=False)


class Script:
    """An attempt with results that are known beforehand, the last of which goes on."""

    def __init__(self, results: Sequence[str | None]) -> None:
        self.results = list(results)
        self.runs = 0
        self.at_once = 0
        self.at_once_max = 0

    async def __call__(self) -> str | None:
        self.runs += 1
        self.at_once += 1
        self.at_once_max = max(self.at_once_max, self.at_once)
        try:
            await asyncio.sleep(0)
            return self.results.pop(0) if len(self.results) > 1 else self.results[0]
        finally:
            self.at_once -= 1


def run_with(
    monkeypatch: pytest.MonkeyPatch, results: str, rise: int = 2, fall: int = 3
) -> tuple[list[ToEngine], CheckStats]:
    """What is asked for when the results are these: `+` and `-`."""
    script = Script([None if result == "+" else "refused" for result in results])
    monkeypatch.setattr(module, "attempt_for", lambda check: script)
    monkeypatch.setattr(module, "_INTERVAL_MIN_S", 0.001)
    asked: list[ToEngine] = []
    stats = CheckStats()

    async def play() -> None:
        checks = HealthChecks([check("db", rise=rise, fall=fall, demotion=60, group="web")], stats, asked.append)
        assert stats.healthy == {"db": True}
        checks.start()
        await until(lambda: sum(stats.results.values()) > len(results))
        await checks.close()

    asyncio.run(play())
    assert script.at_once_max == 1
    return asked, stats


@pytest.mark.parametrize(
    ("results", "asked"),
    [
        ("+", [GOOD]),
        ("--+--+--+", [GOOD]),
        ("---", [BAD]),
        ("---+-+-+-", [BAD]),
        ("---++", [BAD, GOOD]),
        ("++---++---", [GOOD, BAD, GOOD, BAD]),
        ("++++++", [GOOD]),
    ],
)
def test_it_takes_as_many_results_in_a_row_as_were_asked_for(
    monkeypatch: pytest.MonkeyPatch, results: str, asked: list[ToEngine]
) -> None:
    found, stats = run_with(monkeypatch, results)
    assert found == asked
    assert stats.healthy == {"db": asked[-1] == GOOD}


def test_with_rise_and_fall_of_one_each_result_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_with(monkeypatch, "-+-+", rise=1, fall=1)[0] == [BAD, GOOD, BAD, GOOD]


def test_results_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    _, stats = run_with(monkeypatch, "+-+--")
    assert stats.results[("db", "good")] == 2
    assert stats.results[("db", "bad")] >= 3


def test_a_change_is_logged_with_its_reason_and_a_result_is_not(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "carpsidecar")
    monkeypatch.setattr(logging.getLogger("carpsidecar"), "propagate", True)
    run_with(monkeypatch, "++---++")
    logged = [(record.levelname, vars(record)["event"], record.getMessage()) for record in caplog.records]
    assert logged == [
        ("WARNING", "check_failed", "check db: unhealthy: refused"),
        ("INFO", "check_passed", "check db: healthy again"),
    ]
    keys = vars(caplog.records[0])["keys"]
    assert json.dumps(keys) == '{"check": "db", "problem": "refused", "demotion": 60}'


def test_a_check_that_is_wrong_in_itself_is_bad_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async def wrong() -> str | None:
        raise RuntimeError("wrong")

    monkeypatch.setattr(module, "attempt_for", lambda check: wrong)
    stats = CheckStats()
    asked: list[ToEngine] = []

    async def play() -> None:
        checks = HealthChecks([check("db", interval_s=0.1)], stats, asked.append)
        checks.start()
        await until(lambda: stats.results[("db", "bad")] >= 3)
        await checks.close()

    asyncio.run(play())
    assert [type(message) for message in asked] == [SetDemotion]


def test_one_that_takes_too_long_is_bad_and_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    async def endless() -> str | None:
        await asyncio.sleep(3600)
        return None

    async def quick() -> str | None:
        return None

    monkeypatch.setattr(module, "attempt_for", lambda check: endless if check.name == "endless" else quick)
    stats = CheckStats()

    async def play() -> None:
        slow = check("endless", interval_s=0.1, timeout_s=0.2, fall=1)
        checks = HealthChecks([slow, check("quick", interval_s=0.1)], stats, lambda message: None)
        checks.start()
        await until(lambda: not stats.healthy["endless"] and stats.results[("quick", "good")] >= 3)
        await checks.close()

    asyncio.run(play())
    assert stats.healthy == {"endless": False, "quick": True}


def test_the_interval_is_kept_more_or_less(monkeypatch: pytest.MonkeyPatch) -> None:
    times: list[float] = []

    async def attempt() -> str | None:
        times.append(asyncio.get_running_loop().time())
        return None

    monkeypatch.setattr(module, "attempt_for", lambda check: attempt)

    async def play() -> None:
        checks = HealthChecks([check("db", interval_s=0.2)], CheckStats(), lambda message: None)
        checks.start()
        await until(lambda: len(times) == 6)
        await checks.close()

    asyncio.run(play())
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert all(0.17 < gap < 0.4 for gap in gaps)
    assert len({round(gap, 4) for gap in gaps}) > 1


def test_real_ones_of_each_kind_run_beside_each_other() -> None:
    async def play() -> CheckStats:
        stats = CheckStats()
        server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        specs: list[Check] = [
            check("tcp", "tcp", f"127.0.0.1:{port}", interval_s=0.1),
            check("http", "http", f"http://127.0.0.1:{port}/", interval_s=0.1, fall=1),
            check("command", "command", "true", interval_s=0.1),
        ]
        checks = HealthChecks(specs, stats, lambda message: None)
        checks.start()
        await until(lambda: all(sum(stats.results[(s.name, r)] for r in ("good", "bad")) >= 3 for s in specs))
        await checks.close()
        server.close()
        return stats

    assert asyncio.run(play()).healthy == {"tcp": True, "http": False, "command": True}
