"""What follows a model's predictions and the truth about them, window by window; one shape for all that does.

The pipeline gives every follower each batch once it is counted, each label once it is joined, and each window's end.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from agent.config import Settings
from agent.ledger import Ledger
from agent.records import Batch, Closed, Event, Finding, ModelKey, Pairs, Task
from agent.reference.profile import Reference
from agent.telemetry import Point


@dataclass(frozen=True)
class About:
    """What is known of a version; a new one whenever that changes.

    threshold: the score from which on the positive label is given, NaN unknown. trained_at_ns: 0 unknown. ledger: gives
    each check its α. others: versions of the same model in use now.
    """

    key: ModelKey
    settings: Settings
    ledger: Ledger
    window_ns: int
    reference: Reference | None = None
    task: Task = Task.UNKNOWN
    positive: str = ""
    threshold: float = math.nan
    trained_at_ns: int = 0
    others: tuple[ModelKey, ...] = ()


class Follower(Protocol):
    """Follows one version. Pure and synchronous: no clock, no files; what it holds is bounded.

    Nothing is told twice and everything in order, after a restart too: the state is a function of the calls.
    """

    name: str  # a word: the key of its blob and of what it shows

    def prepare(self, about: About) -> None:
        """Told at the start and whenever something changed; of what was counted nothing is lost."""
        ...

    def predicted(self, batch: Batch, index: int) -> None:
        """One batch of window `index` (start / length) was counted. Costs well under 0.2 microseconds a record."""
        ...

    def labelled(self, pairs: Pairs, index: int) -> None:
        """Labels that came in window `index` met their predictions, which may be of long before."""
        ...

    def close(self, index: int, recent: Sequence[Closed], end_ns: int) -> list[Finding]:
        """Window `index` ended, recent[-1]; what there is to say, reasons for silence too. At most 2 ms: where it may
        take longer, `closing(index, recent, end_ns)` gives the same in steps that do not."""
        ...

    def points(self) -> Iterator[Point]:
        """What is exported, with about.key.attributes() and more on each."""
        ...

    def events(self) -> list[Event]:
        """What happened once since it was last asked, with keys unique within this follower."""
        ...

    def show(self) -> dict[str, Any]:
        """For the status and the page, plain JSON; empty where it does not concern this version.

        title: a few words. lines: what to show, the important first, at most some 20, each with name, value, unit
        ("share", "number", "seconds", "text"), and where known low and high (95 %), expected (of the reference) and
        note. note: what cannot be said, and why. Further keys are for programs.
        """
        ...

    def dump(self) -> bytes:
        """Its whole state."""
        ...

    def load(self, stored: bytes) -> None:
        """Takes up a state; raises CorruptError, and is as new then."""
        ...


