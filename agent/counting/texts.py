"""What a window's texts are, beside their counts: how many different ones, and the frequent ones nobody knew.

For people, never for a decision: `new_category` and drift judge exact counts. Fed with the used entries of a batch's
dictionaries, not with values, and of those nobody knew with a sample where they are many.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from agent.bins import Layout
from agent.counting.spelling import otherwise
from agent.records import PRESENT, Batch, Cells, Closed, Finding, Ints, Kind, Source, Texts, TextsSeen
from agent.sketches.distinct import Distinct
from agent.sketches.frequent import FrequentTexts

WATCHED_MAX = 50  # texts of one series; critical ones first
SKETCHES_MAX = 256  # of one series, over all its open windows: some 3 MB where all are full
NEWCOMERS = 32  # a text with more than a 32nd of what nobody knew is always held
NEWCOMERS_KEPT = 8  # of a closed window
NEWCOMERS_NAMED = 3  # in a finding
NAMED_SHARE_MIN = 0.02  # of what nobody knew; less is one of many
NAMED_ROWS_MIN = 10  # what came in fewer rows may be one person's: a name, a note, an address in the wrong column
SAMPLED_ROWS = 32  # of one batch's rows with a text nobody knew
NAME_MAX = 80  # characters; longer texts are told by their beginning
SMALL, REMEMBERED = 64, 16  # entries of a dictionary whose used ones are remembered; how many such dictionaries


@dataclass(frozen=True, slots=True)
class WatchedText:
    """A text of the layout. feature: its place; never, stop: the cells of what the reference never held."""

    feature: int
    source: Source
    name: str
    never: int
    stop: int


def watched(layout: Layout) -> tuple[WatchedText, ...]:
    """The texts that somebody sends and somebody looks at, at most WATCHED_MAX."""
    sent = enumerate(layout.features[: layout.sent])
    texts = [(i, f) for i, f in sent if f.kind is Kind.TEXT and not f.ignored]
    texts.sort(key=lambda text: not text[1].critical)
    starts = layout.starts.tolist()
    return tuple(
        WatchedText(i, f.source, f.name, starts[i] + f.never.start, starts[i] + f.never.stop)
        for i, f in texts[:WATCHED_MAX]
    )


@dataclass(slots=True)
class TextSketch:
    """One text in one open window; about 2 kB, and 150 B for each newcomer (64 at most)."""

    distinct: Distinct = field(default_factory=Distinct)
    newcomers: FrequentTexts = field(default_factory=lambda: FrequentTexts(NEWCOMERS))
    _unused: dict[int, set[int]] = field(default_factory=dict)  # by a dictionary's hash: codes no row has had

    def see(self, column: Texts) -> None:
        """Counts the entries that this batch's rows use and that are not known to be counted."""
        dictionary = column.dictionary
        small = len(dictionary) <= SMALL and isinstance(dictionary, tuple)
        unused = self._unused.get(hash(dictionary)) if small else None
        if unused is not None and not unused:
            return
        codes = column.codes if column.state is None else column.codes[column.state == PRESENT]
        used = np.flatnonzero(np.bincount(codes, minlength=len(dictionary))).tolist()
        if not small:
            self.distinct.update([dictionary[code] for code in used])
            return
        if unused is None:
            if len(self._unused) >= REMEMBERED:
                self._unused.clear()
            unused = self._unused[hash(dictionary)] = set(range(len(dictionary)))
        self.distinct.update([dictionary[code] for code in used if code in unused])
        unused.difference_update(used)

    def meet(self, column: Texts, rows: Ints) -> None:
        """Counts texts nobody knew, in these rows of the batch; where they are many, in every k-th for k."""
        step = -(-len(rows) // SAMPLED_ROWS)
        counts: Counter[str | int] = Counter()
        for code, count in Counter(column.codes[rows[::step]].tolist()).items():
            counts[short(column.dictionary[code])] += count * step
        self.newcomers.add(counts)

    def seen(self) -> TextsSeen:
        """As the closed window keeps it: the most frequent newcomers, however few of each came."""
        held = self.newcomers
        top = tuple((str(text), count) for text, count in held.top(NEWCOMERS_KEPT))
        return TextsSeen(self.distinct.count, held.total, top)


class WindowTexts:
    """All watched texts of one open window."""

    __slots__ = ("sketches",)

    def __init__(self) -> None:
        self.sketches: dict[tuple[Source, str], TextSketch] = {}

    def add(self, texts: Iterable[WatchedText], batch: Batch, cells: Cells, counts: Ints) -> None:
        """cells: (features, rows) as placed; counts: of the batch, by cell."""
        for text in texts:
            columns = batch.features if text.source is Source.FEATURE else batch.outputs
            column = columns.texts.get(text.name)
            if column is None or not column.dictionary:
                continue
            key = (text.source, text.name)
            sketch = self.sketches.get(key)
            if sketch is None:
                sketch = self.sketches[key] = TextSketch()
            sketch.see(column)
            if np.count_nonzero(counts[text.never : text.stop]):
                own = cells[text.feature]
                strangers = np.flatnonzero((own >= text.never) & (own < text.stop))
                for rows in by_message(strangers, batch):
                    sketch.meet(column, rows)

    def seen(self) -> dict[tuple[Source, str], TextsSeen]:
        """Of the texts that came. A column may be there without a value: gathered rows remember earlier rows' names,
        and a restart forgets them."""
        found = {key: self.sketches[key].seen() for key in sorted(self.sketches)}
        return {key: seen for key, seen in found.items() if seen.distinct or seen.new}


def by_message(rows: Ints, batch: Batch) -> list[Ints]:
    """These rows of the batch (rising), those of each message apart: which messages were put together decides
    nothing."""
    ends = np.cumsum([own for own, _ in batch.messages[:-1]])
    return [part for part in np.split(rows, np.searchsorted(rows, ends)) if part.size]


def named(findings: Iterable[Finding], recent: Iterable[Closed], layout: Layout | None) -> list[Finding]:
    """The findings; alarms on new categories of the whole traffic name the frequent ones of their horizon, and say of
    which kind most are. recent: newest last; layout: the reference's.

    Of a part of the traffic nothing is named: newcomers are not held apart by segment.
    """
    windows = tuple(recent)
    known = {(f.source, f.name): f.categories for f in layout.features} if layout is not None else {}
    return [
        _told(f, windows, known.get((f.source, f.subject), ()))
        if f.alarms and f.check == "new_category" and not f.segment else f
        for f in findings
    ]  # fmt: skip


def _told(finding: Finding, recent: Sequence[Closed], known: Sequence[str]) -> Finding:
    counts: Counter[str] = Counter()
    total = 0
    for closed in recent[-finding.horizon :]:
        seen = closed.texts.get((finding.source, finding.subject))
        if seen is not None:
            counts.update(dict(seen.newcomers))
            total += seen.new
    most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:NEWCOMERS_NAMED]
    least = max(NAMED_ROWS_MIN, NAMED_SHARE_MIN * total)
    names = tuple((text, count / total) for text, count in most if count >= least)
    hint = otherwise(counts, known)
    return replace(finding, newcomers=names, reason=f"{finding.reason}; {hint}" if hint else finding.reason)


def short(text: str) -> str:
    """A text, or the beginning of a long one.

    >>> short("x" * 100) == "x" * 80 + "…"
    True
    """
    return text if len(text) <= NAME_MAX else f"{text[:NAME_MAX]}…"
