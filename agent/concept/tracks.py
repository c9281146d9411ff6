"""All series of losses of one version, the whole's and each segment's: what is usual is learned, then bet against."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from agent.concept.baseline import Baseline
from agent.concept.bets import Bets, row_width, streams_of, usual_row, width_of
from agent.concept.detector import Detector, Moment, Since
from agent.concept.expected import BINS, Expected, errors_of, scored_of
from agent.concept.gathered import SEGMENTS_MAX, Followed, Gathered
from agent.concept.losses import Kind, Scale, scale_of
from agent.concept.section import Section
from agent.records import Bools, Floats, Ints, Verdict

SERIES = SEGMENTS_MAX + 1
BLOCKS_MAX = 32  # learned from the service itself; then the past stands: a slow decline must not become the usual
BLOCK_LABELS_MIN = 20  # fewer say nothing of how windows differ: they wait for the next
SCALE_WINDOWS, SCALE_LABELS = 4, 200  # from which a number's errors take their scale
# Rises that are worth an alarm: a twentieth of the usual loss, and of rates half a hundredth, as faults of values need.
RELATIVE_MIN, RATE_MIN = 0.05, 0.005
RARE_MIN = 0.25  # of an outcome, where that is less than half a hundredth: of 1 % half a point is half of all
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
    tested. evidence: ln of the statistic; change: since the estimated onset; usual: (streams,). scores: whether it is
    the scores that do not hold, rather than the errors that rose."""

    verdict: Verdict
    labels: float
    mean: Floats
    reason: str = ""
    evidence: float = -math.inf
    change: Since | None = None
    usual: Floats | None = None
    usual_labels: int = 0
    phi: float = 1.0
    scores: bool = False

    @property
    def now(self) -> float:
        """What is spoken of, since the change: the outcome's rate or the loss."""
        if self.change is None or self.usual is None:
            return math.nan
        return self.change.came if self.scores else float(self.change.means[0])

    @property
    def then(self) -> float:
        """What was to be expected of it."""
        if self.change is None or self.usual is None:
            return math.nan
        return self.change.told if self.scores else float(self.usual[0])

    @property
    def rise(self) -> float:
        """Of what is spoken of since the change, relative to what was expected; NaN where nothing was tested."""
        return self.now / max(self.then, 1e-12) - 1.0

    @property
    def effect(self) -> float:
        """How much worse, never negative. Of scores the ratio of observed and expected or its inverse, less 1: half is
        as bad as twice. Of errors the rise, or what the worse direction adds where the other makes up for it."""
        if self.change is None or self.usual is None:
            return math.nan
        if self.scores:
            high, low = max(self.now, self.then), min(self.now, self.then)
            return high / max(low, 1e-3 * high, 1e-12) - 1.0
        more = self.change.means[: len(self.usual)] - self.usual
        return self.rise if self.rise > 0.0 else max(float(more.max() / self.usual[0]), 0.0)


@dataclass(frozen=True, slots=True)
class Judged:
    """One window's labels. parts: of the segments that had some, each with whether it alarmed lately."""

    index: int
    whole: Said
    parts: dict[str, tuple[Said, bool]]


class Tracks:
    """Of one kind of losses. section: of the labelled reference, None without; scale: None while it is not known.

    Memory: 2.7 kB a series: 32 blocks of what is usual, the detector's 15 bets; 9 where scores are followed too.
    """

    def __init__(self, kind: Kind, section: Section | None = None, scale: Scale | None = None) -> None:
        self.kind = kind
        self.scale = section.scale if section else scale if kind is Kind.NUMBERS else Scale(kind)
        self.section = section
        self.followed = Followed()
        self.raw: Floats = np.zeros((0, width_of(kind)))  # windows of numbers' errors while no scale is known
        losses, streams = streams_of(kind)
        self.learned: Floats = np.zeros((SERIES, BLOCKS_MAX, row_width(kind)))
        self.bins: Floats = np.zeros((SERIES, BINS if kind is Kind.BINARY else 0, 2))  # labels learned, by score
        self.known: Ints = np.zeros(SERIES, dtype=np.int64)  # blocks learned
        self.few: Floats = np.zeros((SERIES, row_width(kind)))  # labels of windows too small to be a block
        self.alarmed: Floats = np.full(SERIES, NEVER)  # the newest window that did
        self.detector = Detector(SERIES, streams, losses + 3 * (streams > losses))
        self._bets: tuple[int, Asked, Bets] | None = None  # of how many series, and what was asked

    def give(self, section: Section | None) -> None:
        """The reference's blocks, which are not in the state."""
        self.section, self._bets = section, None

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

    def _learning(self, at: Ints, counts: Floats, known: Bets, ready: Bools) -> dict[int, Said]:
        found, errors = {}, known.errors
        labels, means = counts.sum(axis=1), self._means(counts)
        for k in np.flatnonzero(~ready).tolist():
            reason = f"{errors.windows[k]:.0f} labelled windows with {errors.labels[k]:.0f} labels known"
            found[int(at[k])] = Said(Verdict.LEARNING, float(labels[k]), means[k], reason)
        return found

    def _tested(self, at: Ints, counts: Floats, known: Bets, evidence: Floats) -> dict[int, Said]:
        found, errors, losses = {}, known.errors, streams_of(self.kind)[0]
        labels, means, usual_labels = counts.sum(axis=1).tolist(), self._means(counts), errors.labels.tolist()
        phi, ln = errors.phi[:, 0].tolist(), evidence.tolist()
        for k, series in enumerate(at.tolist()):
            loud = not series or self.detector.alarming[series] or ln[k] >= min(SHOWN_MIN, known.asked[k])
            change = self.detector.change(series) if loud else None
            of_scores = change is not None and change.stream >= losses
            said = Said(
                Verdict.WITHIN_NOISE, labels[k], means[k], "", ln[k], change, errors.mean[k], int(usual_labels[k]),
                phi[k] if not of_scores or known.expected is None else float(known.expected.phi[k]), of_scores,
            )  # fmt: skip
            found[series] = self._weighed(series, said, float(known.asked[k])) if change else said
        return found

    def _weighed(self, series: int, said: Said, asked: float) -> Said:
        """An alarm begins at the threshold and lasts until only its root is left: else it would flap."""
        detector = self.detector
        if detector.alarming[series]:
            if said.evidence > asked / 2.0:
                return replace(said, verdict=Verdict.ALARM)
            detector.clear(series)
            return said
        if said.evidence < asked:
            return said
        if said.scores and not scores_matter(said):  # then the errors that came with it may
            said = replace(said, scores=False)
        matters = said.scores or errors_matter(said, self.kind)
        detector.alarming[series] = matters
        return replace(said, verdict=Verdict.ALARM if matters else Verdict.BELOW_FLOOR)

    def _means(self, counts: Floats) -> Floats:
        """(series, streams)"""
        assert self.scale is not None  # noqa: S101 - scaled before
        return np.asarray(errors_of(counts) @ self.scale.losses.T / counts.sum(axis=1, keepdims=True))

    # ── what is usual ──

    def _reckoned(self, asked: Asked) -> Bets:
        """Of all series there are. Kept until something was learned: it costs as much as a window's test."""
        assert self.scale is not None  # noqa: S101 - scaled before
        count = len(self.followed.names)
        if self._bets is None or self._bets[:2] != (count, asked):
            at = np.arange(count)
            asks, blocks = np.where(at == 0, asked.whole, asked.segment), self._usual(at)
            errors = 1 + 2 * streams_of(self.kind)[0]
            scores = Expected(blocks[..., errors:], self._usual_bins(at), asks) if self.kind is Kind.BINARY else None
            self._bets = count, asked, Bets(Baseline(self.scale, blocks[..., :errors], asks), scores)
        return self._bets[2]

    def _usual(self, at: Ints) -> Floats:
        """(series, blocks, width): the reference's where it has enough, else what was learned; of scores likewise."""
        if self.section is None:
            return self.learned[at]
        names, errors = self.followed.names, 1 + 2 * streams_of(self.kind)[0]
        given = [self.section.blocks_of(names[s]) for s in at.tolist()]
        longest = max(BLOCKS_MAX, *(len(blocks) for blocks in given if blocks is not None), 0)
        found = np.zeros((len(at), longest, self.learned.shape[2]))
        for k, (series, blocks) in enumerate(zip(at.tolist(), given, strict=True)):
            own = self.learned[series]
            found[k, : len(own)] = own
            if blocks is None:
                continue
            scored = self.section.bins_of(names[series]) is not None
            width = blocks.shape[1] if scored else errors
            found[k, :, :width] = 0.0
            found[k, : len(blocks), :width] = blocks[:, :width]
        return found

    def _usual_bins(self, at: Ints) -> Floats:
        """(series, BINS, 2): usual labels by score."""
        found = self.bins[at]
        for k, series in enumerate(at.tolist()):
            given = None if self.section is None else self.section.bins_of(self.followed.names[series])
            if given is not None:
                found[k] = given
        return found

    def _learn(self, at: Ints, counts: Floats) -> None:
        """One usual window more of each of these, up to 32."""
        learns = self.known[at] < BLOCKS_MAX
        if not learns.any() or self.scale is None:
            return
        at, counts = at[learns], counts[learns]
        self.few[at] += usual_row(counts, self.scale)
        if self.kind is Kind.BINARY:
            self.bins[at] += scored_of(counts)
        full = at[self.few[at, 0] >= BLOCK_LABELS_MIN]
        self.learned[full, self.known[full]] = self.few[full]
        self.known[full] += 1
        self.few[full] = 0.0
        if full.size:
            self._bets = None

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


def errors_matter(said: Said, kind: Kind) -> bool:
    """Whether errors of any direction rose by as much as is worth an alarm."""
    if said.change is None or said.usual is None:
        return False
    floor = max(RELATIVE_MIN * float(said.usual[0]), RATE_MIN if kind is not Kind.NUMBERS else 0.0)
    return bool((said.change.means[: len(said.usual)] - said.usual >= floor).any())


def scores_matter(said: Said) -> bool:
    """Whether the outcome's rate is as far from what was expected as is worth an alarm."""
    if said.change is None:
        return False
    told = said.change.told
    return abs(said.change.came - told) >= max(RELATIVE_MIN * told, min(RATE_MIN, RARE_MIN * told))
