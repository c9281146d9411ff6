"""All series of losses of one version, the whole's and each segment's: what is usual is learned, then bet against."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from agent.concept.baseline import Baseline, block_of
from agent.concept.detector import Detector, Moment, Since
from agent.concept.gathered import SEGMENTS_MAX, Followed, Gathered
from agent.concept.losses import Kind, Scale, cells_of, scale_of
from agent.concept.section import Section
from agent.records import Bools, Floats, Ints, Verdict

SERIES = SEGMENTS_MAX + 1
BLOCKS_MAX = 32  # learned from the service itself; then the past stands: a slow decline must not become the usual
BLOCK_LABELS_MIN = 20  # fewer say nothing of how windows differ: they wait for the next
SCALE_WINDOWS, SCALE_LABELS = 4, 200  # from which a number's errors take their scale
# Rises that are worth an alarm: a twentieth of the usual loss, and of rates half a hundredth, as faults of values need.
RELATIVE_MIN, RATE_MIN = 0.05, 0.005
SHOWN_MIN = math.log(20.0)  # evidence that a segment is worse, from which it is named; far below any threshold
TOLD_WINDOWS = 24  # a segment is spoken of so long after its alarm ended, so that its alert can end
NEVER = -1e9


@dataclass(frozen=True, slots=True)
class Asked:
    """ln A, the evidence that makes an alarm: of the whole, of each segment."""

    whole: float
    segment: float


@dataclass(frozen=True, slots=True)
class Said:
    """What one window's labels say of one series. mean: the window's own losses, (streams,); the rest only where it was
    tested. evidence: ln of the statistic; change: since the estimated onset; usual: (streams,)."""

    verdict: Verdict
    labels: float
    mean: Floats
    reason: str = ""
    evidence: float = -math.inf
    change: Since | None = None
    usual: Floats | None = None
    usual_labels: int = 0
    phi: float = 1.0

    @property
    def rise(self) -> float:
        """Of the loss since the change, relative to the usual; NaN where nothing was tested."""
        if self.change is None or self.usual is None:
            return math.nan
        return float(self.change.means[0] / self.usual[0]) - 1.0


@dataclass(frozen=True, slots=True)
class Judged:
    """One window's labels. parts: of the segments that had some, each with whether it alarmed lately."""

    index: int
    whole: Said
    parts: dict[str, tuple[Said, bool]]


class Tracks:
    """Of one kind of losses. section: of the labelled reference, None without; scale: None while it is not known.

    Memory: 2.7 kB a series: 32 blocks of what is usual, the detector's 15 bets.
    """

    def __init__(self, kind: Kind, section: Section | None = None, scale: Scale | None = None) -> None:
        self.kind = kind
        self.scale = section.scale if section else scale if kind is Kind.NUMBERS else Scale(kind)
        self.section = section
        self.followed = Followed()
        self.raw: Floats = np.zeros((0, cells_of(kind)))  # windows of numbers' errors while no scale is known
        streams = 1 if kind is Kind.CLASSES else 3
        self.learned: Floats = np.zeros((SERIES, BLOCKS_MAX, 1 + 2 * streams))
        self.known: Ints = np.zeros(SERIES, dtype=np.int64)  # blocks learned
        self.few: Floats = np.zeros((SERIES, 1 + 2 * streams))  # labels of windows too small to be a block
        self.alarmed: Floats = np.full(SERIES, NEVER)  # the newest window that did
        self.detector = Detector(SERIES, streams)
        self._baseline: tuple[int, Asked, Baseline] | None = None  # of how many series, and what was asked

    def give(self, section: Section | None) -> None:
        """The reference's blocks, which are not in the state."""
        self.section, self._baseline = section, None

    def judge(self, index: int, gathered: Gathered, asked: Asked) -> Judged | None:
        """One window that has labels; None while errors have no scale yet."""
        counts = gathered.counts()
        if self.scale is None and not self._scaled(counts[0]):
            return None
        at = np.flatnonzero(counts.sum(axis=1) > 0.0)
        return self._judge(at, counts[at], gathered.moment(index), asked)

    def _judge(self, at: Ints, counts: Floats, moment: Moment, asked: Asked) -> Judged:
        assert self.scale is not None  # noqa: S101 - scaled before
        known = self._reckoned(asked).part(at)
        ready = known.ready
        tested = known.part(np.flatnonzero(ready))
        said = self._learning(at, counts, known, ready)
        if ready.any():
            evidence = self.detector.step(at[ready], tested, counts[ready], moment)
            told = self._tested(at[ready], counts[ready], tested, evidence)
            said.update(told)
            calm = evidence < tested.asked / 2.0
            self._learn(at[ready][calm], counts[ready][calm])
        self._learn(at[~ready], counts[~ready])
        for series, one in said.items():
            if one.verdict is Verdict.ALARM:
                self.alarmed[series] = moment.index
        lately = moment.index - self.alarmed <= TOLD_WINDOWS
        parts = {self.followed.names[s]: (said[s], bool(lately[s])) for s in at.tolist() if s}
        return Judged(moment.index, said[0], parts)

    def _learning(self, at: Ints, counts: Floats, known: Baseline, ready: Bools) -> dict[int, Said]:
        found = {}
        labels, means = counts.sum(axis=1), self._means(counts)
        for k in np.flatnonzero(~ready).tolist():
            reason = f"{known.windows[k]:.0f} labelled windows with {known.labels[k]:.0f} labels known"
            found[int(at[k])] = Said(Verdict.LEARNING, float(labels[k]), means[k], reason)
        return found

    def _tested(self, at: Ints, counts: Floats, known: Baseline, evidence: Floats) -> dict[int, Said]:
        found = {}
        labels, means, usual_labels = counts.sum(axis=1).tolist(), self._means(counts), known.labels.tolist()
        phi, ln = known.phi[:, 0].tolist(), evidence.tolist()
        for k, series in enumerate(at.tolist()):
            loud = not series or self.detector.alarming[series] or ln[k] >= min(SHOWN_MIN, known.asked[k])
            change = self.detector.change(series) if loud else None
            verdict = self._verdict(series, known, k, (ln[k], change)) if change else Verdict.WITHIN_NOISE
            found[series] = Said(
                verdict, labels[k], means[k], "", ln[k], change, known.mean[k], int(usual_labels[k]), phi[k]
            )
        return found

    def _verdict(self, series: int, known: Baseline, k: int, found: tuple[float, Since]) -> Verdict:
        """An alarm begins at the threshold and lasts until only its root is left: else it would flap."""
        (evidence, change), asked, detector = found, float(known.asked[k]), self.detector
        if detector.alarming[series]:
            if evidence > asked / 2.0:
                return Verdict.ALARM
            detector.clear(series)
            return Verdict.WITHIN_NOISE
        if evidence < asked:
            return Verdict.WITHIN_NOISE
        floor = max(RELATIVE_MIN * float(known.mean[k, 0]), RATE_MIN if known.scale.two_valued else 0.0)
        detector.alarming[series] = bool((change.means - known.mean[k] >= floor).any())
        return Verdict.ALARM if detector.alarming[series] else Verdict.BELOW_FLOOR

    def _means(self, counts: Floats) -> Floats:
        """(series, streams)"""
        assert self.scale is not None  # noqa: S101 - scaled before
        return np.asarray(counts @ self.scale.losses.T / counts.sum(axis=1, keepdims=True))

    # ── what is usual ──

    def _reckoned(self, asked: Asked) -> Baseline:
        """Of all series there are. Kept until something was learned: it costs as much as a window's test."""
        assert self.scale is not None  # noqa: S101 - scaled before
        count = len(self.followed.names)
        if self._baseline is None or self._baseline[:2] != (count, asked):
            at = np.arange(count)
            asks = np.where(at == 0, asked.whole, asked.segment)
            self._baseline = count, asked, Baseline(self.scale, self._usual(at), asks)
        return self._baseline[2]

    def _usual(self, at: Ints) -> Floats:
        """(series, blocks, width): the reference's where it has enough, else what was learned."""
        if self.section is None:
            return self.learned[at]
        names = self.followed.names
        given = [self.section.blocks_of(names[s]) for s in at.tolist()]
        longest = max(BLOCKS_MAX, *(len(blocks) for blocks in given if blocks is not None), 0)
        found = np.zeros((len(at), longest, self.learned.shape[2]))
        for k, (series, blocks) in enumerate(zip(at.tolist(), given, strict=True)):
            own = self.learned[series] if blocks is None else blocks
            found[k, : len(own)] = own
        return found

    def _learn(self, at: Ints, counts: Floats) -> None:
        """One usual window more of each of these, up to 32."""
        if not at.size or self.scale is None:
            return
        self.few[at] += block_of(counts, self.scale)
        full = at[self.few[at, 0] >= BLOCK_LABELS_MIN]
        room = full[self.known[full] < BLOCKS_MAX]
        self.learned[room, self.known[room]] = self.few[room]
        self.known[room] += 1
        self.few[full] = 0.0
        if room.size:
            self._baseline = None

    def _scaled(self, counts: Floats) -> bool:
        """Takes the scale from the first windows of numbers' errors; these are then the first that are learned."""
        if len(self.raw) and self.raw[-1].sum() < SCALE_LABELS / SCALE_WINDOWS:
            self.raw[-1] += counts
        else:
            self.raw = np.vstack((self.raw, counts))
        if len(self.raw) < SCALE_WINDOWS or self.raw.sum() < SCALE_LABELS:
            return False
        self.scale = scale_of(self.kind, self.raw.sum(axis=0))
        for window in self.raw[:-1]:
            self._learn(np.zeros(1, dtype=np.int64), window[np.newaxis])
        self.raw = self.raw[:0]
        return True
