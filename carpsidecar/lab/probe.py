"""The client's view: how long an address gave no answer, and which node answered before and after."""

import contextlib
import fcntl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import IO

from carpsidecar.lab import echo
from carpsidecar.lab.closing import Closing
from carpsidecar.lab.commands import LabError, environment
from carpsidecar.lab.namespace import in_namespace
from carpsidecar.lab.node import Node
from carpsidecar.lab.outages import Outage, Question, outages

_STARTS_WITHIN_S = 10.0
_PIPE_BYTES = 1 << 20


class EchoServer:
    """Answers the probes in this node until it is stopped, or the node loses its power."""

    def __init__(self, node: Node) -> None:
        self.process = node.start([sys.executable, "-m", "carpsidecar.lab.echo", node.name])
        self.process.wait_for(echo.READY, _STARTS_WITHIN_S)

    def stop(self) -> None:
        self.process.kill()


class Probe(Closing):
    """A client in its node asks the target for its name, again and again, from the first moment on."""

    def __init__(self, client: Node, target: object, interval_s: float = 0.002) -> None:
        """`target`: an IPv4 or IPv6 address, as an object or a text."""
        self.target = str(target)
        self._questions: list[Question] = []
        self._last_answered: Question | None = None
        self._changed = threading.Condition()
        self._ended = False
        with in_namespace(client.ns):
            self._process = subprocess.Popen(
                [sys.executable, "-m", "carpsidecar.lab.asker", self.target, str(interval_s)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                start_new_session=True,
                env=environment(),
            )
        assert self._process.stdout is not None
        # Room for many seconds, so that a busy lab never makes the client wait.
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._process.stdout, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()

    @property
    def questions(self) -> list[Question]:
        """All that was asked up to now."""
        with self._changed:
            return list(self._questions)

    @property
    def last_answered(self) -> Question | None:
        """The question that the latest answer belongs to."""
        return self._last_answered

    def outages(self, since: float = 0.0, until: float | None = None) -> list[Outage]:
        """Those that began in this span, each from the first question without an answer to the next answer."""
        return outages(self.questions, since, time.monotonic() if until is None else until)

    def longest_outage_s(self, since: float = 0.0) -> float:
        return max((outage.duration_s for outage in self.outages(since)), default=0.0)

    def wait_until_answered(self, timeout_s: float) -> str:
        """Wait until a question asked from now on is answered; the name of the node that did."""
        return self._wait_for_answer(lambda name: True, timeout_s, "")

    def wait_until_answered_by(self, node: str, timeout_s: float) -> None:
        """Wait until a question asked from now on is answered by the node of this name."""
        self._wait_for_answer(lambda name: name == node, timeout_s, f" by {node}")

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()

    def _wait_for_answer(self, wanted: Callable[[str], bool], timeout_s: float, by: str) -> str:
        with self._changed:
            next_question = len(self._questions)
            deadline = time.monotonic() + timeout_s
            while True:
                for question in self._questions[next_question:]:
                    if question.answered_by is not None and wanted(question.answered_by):
                        return question.answered_by
                if self._ended:
                    raise LabError(f"the client that asks {self.target} has ended")
                if not self._changed.wait(max(0.0, deadline - time.monotonic())):
                    last = next((q.answered_by for q in reversed(self._questions) if q.answered_by), "nobody")
                    raise TimeoutError(
                        f"{self.target} was not answered{by} in {timeout_s} s; last answer by {last}"
                    )

    def _read(self, lines: IO[bytes]) -> None:
        for line in lines:
            what, number, at_ns, *answer = line.decode().split()
            at = int(at_ns) / 1e9
            with self._changed:
                if what == "?":
                    self._questions.append(Question(at))
                    continue
                question = self._questions[int(number)]
                # Where two nodes hold the address, the second answer comes too late to matter.
                if question.answered_at is None:
                    question.answered_at, question.answered_by = at, answer[1]
                    question.waited_s = int(answer[0]) / 1e9
                    self._last_answered = question
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        lines.close()
