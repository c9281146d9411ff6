"""What all replicas together know of a model's labels, as one of them saw it last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.labels.kept import WINDOWS_KEPT


@dataclass(slots=True)
class Fleet:
    """rows, labelled: of the slots that still count; size: bytes they occupy, roughly; most: the largest exponent of
    the sample among them; share: the newest slot's (-1 none). predictions, covered: since the model is known, weighted;
    windows: of predictions, [predictions, labelled], the newest 24. born: of this Redis, "" not asked yet."""

    never: int = 0
    rows: int = 0
    labelled: int = 0
    size: int = 0
    most: int = 0
    share: int = -1
    predictions: int = 0
    covered: int = 0
    windows: dict[int, list[int]] = field(default_factory=dict)
    output: str | None = None
    born: str = ""

    @classmethod
    def read(cls, answer: Sequence[Any]) -> tuple[Fleet, list[bytes]]:
        """What the script STATE said; and fields of windows that are too old to be told."""
        never, rows, labelled, size, most, share = (int(number) for number in answer[:6])
        fields = answer[6]
        found = cls(never, rows, labelled, size, most, share)
        held = dict(zip(fields[::2], fields[1::2], strict=True))
        found.born = held.pop(b"born", b"").decode(errors="replace")
        found.output = held[b"output"].decode(errors="replace").removeprefix("=") if b"output" in held else None
        found.predictions, found.covered = int(held.pop(b"n", 0)), int(held.pop(b"j", 0))
        known = sorted((int(name[2:]) for name in held if name[:2] == b"n:"), reverse=True)
        kept = set(known[:WINDOWS_KEPT])
        old = [name for name in held if name[:2] in (b"n:", b"j:") and int(name[2:]) not in kept]
        for index in sorted(kept):
            found.windows[index] = [int(held.get(kind + str(index).encode(), 0)) for kind in (b"n:", b"j:")]
        return found, old

    def coverage(self, window: int | None = None) -> float:
        """The share of all replicas' predictions with a label (0-1); NaN where there are none."""
        predictions, covered = (self.predictions, self.covered) if window is None else self.windows.get(window, [0, 0])
        return min(1.0, covered / predictions) if predictions else float("nan")
