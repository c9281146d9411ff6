"""A window's numbers, for people: one quantile sketch each, p05, p50 and p95 once it is closed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from agent.bins import Taken
from agent.records import Batch, Floats, Kind, Source
from agent.reference.profile import Reference
from agent.sketches.quantiles import Quantiles

ROWS_MAX = 20_000  # rows of a window that feed the sketches: more changes nothing anyone sees
SHARES = (0.05, 0.5, 0.95)
QUERIES_A_SLICE = 25  # a query costs some 30 µs
Key = tuple[Source, str]


class NumberSketches:
    """One series' sketches. open: of the windows that are; quantiles: at SHARES, of the newest closed window."""

    def __init__(self, reference: Reference | None) -> None:
        self.open: dict[Key, Quantiles] = {}
        self.quantiles: dict[Key, tuple[float, ...]] = {}
        self._closed: dict[Key, Quantiles] = {}
        self.adopt(reference)

    def adopt(self, reference: Reference | None) -> None:
        """Watches what this reference knows; what was begun is dropped."""
        self.open.clear()
        features = () if reference is None else reference.layout.features
        self._keys = tuple(
            (f.source, f.name)
            for f in features
            if f.kind is Kind.NUMBER and not (f.ignored or f.computed or f.source is Source.LATENCY)
        )

    def feed(self, batch: Batch, taken: Taken) -> None:
        """Adds these rows."""
        if taken.start >= batch.rows if isinstance(taken, slice) else not taken.size:
            return
        full: list[Quantiles] = []
        values: list[Floats] = []
        for key in self._keys:
            found = (batch.features if key[0] is Source.FEATURE else batch.outputs).numbers.get(key[1])
            if found is None:
                continue
            sketch = self.open.get(key)
            if sketch is None:
                sketch = self.open[key] = Quantiles()
            if found.state is None:
                full.append(sketch)
                values.append(found.values[taken])
            else:
                sketch.update(found.values[taken][found.state[taken] == 0])
        if not full:
            return
        together = np.array(values)
        clean = bool(np.isfinite(together).all())
        for sketch, own in zip(full, together, strict=True):
            (sketch.update_finite if clean else sketch.update)(own)

    def close(self) -> None:
        """The window is over: the next one begins with none."""
        self._closed, self.open = self.open, {}

    def summarise(self) -> Iterator[None]:
        """Reads the closed window's quantiles, a few at a time."""
        found = {}
        for number, (key, sketch) in enumerate(self._closed.items(), 1):
            if sketch.count:
                found[key] = tuple(sketch.quantiles(SHARES).tolist())
            if number % QUERIES_A_SLICE == 0:
                yield
        self.quantiles, self._closed = found, {}

    def clear(self) -> None:
        """Drops everything but what is watched."""
        self.open.clear()
        self.quantiles = {}
