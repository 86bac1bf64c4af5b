"""What a client's questions and answers say about outages: plain arithmetic, no clock."""

from collections.abc import Sequence
from dataclasses import dataclass

# A later answer is none: such questions waited somewhere (for ARP, most often) until the outage was over.
PATIENCE_S = 0.1


@dataclass(slots=True)
class Question:
    sent_at: float
    answered_at: float | None = None
    answered_by: str | None = None
    waited_s: float = 0.0
    """For how long the answer waited for a processor beyond that: `answered_at` leaves it out."""

    @property
    def is_answered_in_time(self) -> bool:
        return self.answered_at is not None and self.answered_at - self.sent_at <= PATIENCE_S


@dataclass(frozen=True)
class Outage:
    """From the first question without an answer to the next answer; `after_node` is None while it lasts."""

    start: float
    end: float
    before_node: str | None
    after_node: str | None

    @property
    def duration_s(self) -> float:
        return self.end - self.start


def outages(questions: Sequence[Question], since: float, until: float) -> list[Outage]:
    """Those that began in this span; questions are in the order in which they were asked."""
    found: list[Outage] = []
    before: str | None = None
    over_at = 0.0
    for index, question in enumerate(questions):
        if question.sent_at > until:
            break
        if question.is_answered_in_time:
            before = question.answered_by
        elif question.sent_at >= max(since, over_at):
            ending = _first_answer(questions, index)
            if ending is None and until - question.sent_at <= PATIENCE_S:
                break  # Too fresh to be called unanswered.
            over_at = until if ending is None or ending.answered_at is None else ending.answered_at
            found.append(Outage(question.sent_at, over_at, before, ending.answered_by if ending else None))
            if ending is None:
                break
    return found


def _first_answer(questions: Sequence[Question], begin: int) -> Question | None:
    """From `begin` on, the one answered first, which need not be the one asked first."""
    first: Question | None = None
    for question in (questions[index] for index in range(begin, len(questions))):
        if question.answered_at is None:
            continue
        if first is not None and first.answered_at is not None and question.sent_at >= first.answered_at:
            break
        if first is None or first.answered_at is None or question.answered_at < first.answered_at:
            first = question
    return first
