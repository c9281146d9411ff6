"""What the finding says: how often it is wrong now and was, which way, in which segment, and whether inputs moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from agent.concept.losses import Kind, Scale
from agent.concept.tracks import SHOWN_MIN, Said, errors_matter
from agent.records import Finding, Source, Verdict

NAMED_MAX = 3
# Of the rise: what has less than two thirds of it is not "mostly" the one or the other.
MOSTLY = 2.0 / 3.0
ALIKE_MIN = 50  # labels: of a few all may well be positive
STRANGE_MIN = 0.02  # of a window's labels, in other words than the predictions'
DIRECTIONS = {
    Kind.BINARY: ("false positives", "false negatives"),
    Kind.NUMBERS: ("predicted too high", "predicted too low"),
}
FAULTS = frozenset({"type_mismatch", "missing", "absent", "not_finite", "fractional", "constant"})
_BLIND = frozenset({Verdict.NO_REFERENCE, Verdict.LEARNING, Verdict.REFERENCE_TOO_SHORT, Verdict.NOT_ENOUGH_ROWS})


@dataclass(frozen=True, slots=True)
class Inputs:
    """What is known of the inputs at the same time. judged: whether anyone could say; moved: names of those that
    alarm; outputs: whether predictions or scores moved; faulty: values missing, of another type or stuck."""

    judged: bool
    moved: tuple[str, ...] = ()
    outputs: bool = False
    faulty: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.faulty:
            return f"values are at fault ({', '.join(self.faulty[:NAMED_MAX])}): mend these first"
        if self.moved:
            more = f" and {len(self.moved) - NAMED_MAX} more" if len(self.moved) > NAMED_MAX else ""
            return f"inputs moved too ({', '.join(self.moved[:NAMED_MAX])}{more})"
        if not self.judged:
            return "whether inputs moved could not be judged"
        moved = "predictions moved, " if self.outputs else ""
        return f"{moved}inputs look as ever: what they mean has changed"


def inputs_of(findings: Sequence[Finding]) -> Inputs:
    """Of one window's other findings."""
    drifts = [f for f in findings if f.check == "drift" and not f.segment]
    of_inputs = [f for f in drifts if f.source in (Source.FEATURE, Source.ROW)]
    moved = tuple(dict.fromkeys(f.subject for f in of_inputs if f.alarms))
    outputs = any(f.alarms for f in drifts if f.source in (Source.PREDICTION, Source.SCORE))
    faulty = tuple(dict.fromkeys(f.subject for f in findings if f.alarms and f.check in FAULTS and not f.segment))
    return Inputs(any(f.verdict not in _BLIND for f in of_inputs), moved, outputs, faulty)


def amount(scale: Scale, mean: float) -> str:
    """A mean loss as people call it.

    >>> amount(Scale(Kind.CLASSES), 0.1234), amount(Scale(Kind.NUMBERS, 50.0), 0.1)
    ('12.3 %', '5')
    """
    return f"{mean * 100:.3g} %" if scale.two_valued else f"{mean * scale.cap:.3g}"


def usual(scale: Scale, said: Said) -> str:
    """How it is in this window, where nothing is wrong or nothing can be said yet."""
    what = "wrong" if scale.two_valued else "mean absolute error"
    now = amount(scale, float(said.mean[0]))
    then = "" if said.usual is None else f" (usually {amount(scale, float(said.usual[0]))})"
    of = f"of {said.labels:.0f} labels"
    told = f"{now} {of} {what}" if scale.two_valued else f"{what} {now} {of}"
    return f"{told}{then}{f'; {said.reason}' if said.reason else ''}"


@dataclass(frozen=True, slots=True)
class Told:
    """What sentences are of. positive: the outcome that scores tell of. strange: the share of the newest labels that
    are neither that nor the class predicted, whatever it is (0-1). alike: so many are the newest, and all positive."""

    scale: Scale
    positive: str = ""
    inputs: Inputs = Inputs(False)
    strange: float = 0.0
    alike: float = 0.0

    @property
    def cause(self) -> str:
        """Where to look first: labels that cannot be read say nothing of the model."""
        return self.words or str(self.inputs)

    @property
    def words(self) -> str:
        """Of labels that are no measure of the model; empty: they are."""
        if self.alike >= ALIKE_MIN:
            return (
                f"all {self.alike:.0f} of the newest labels are {self.positive}: do others get none? See "
                "sidelight.label.coverage first"
            )
        if self.strange < STRANGE_MIN:
            return ""
        return (
            f"{self.strange * 100:.3g} % of the newest labels are neither {self.positive} nor the class predicted, and "
            "count as negative: are they written otherwise, or no outcome yet? Mend these first"
        )


def changed(told: Told, said: Said, segment: str = "") -> str:
    """From what to what since the change, and which way."""
    if said.change is None or said.usual is None:
        return usual(told.scale, said)
    if not said.scores:
        return _errors(told.scale, said, segment)
    change, where = said.change, f" in {segment}" if segment else ""
    too = "high" if change.came < change.told else "low"
    sentence = (
        f"{told.positive}{where} was expected in {change.told * 100:.3g} % and came in {change.came * 100:.3g} % "
        f"over {change.scored:.0f} labels: scores are too {too}"
    )
    return f"{sentence}; {_errors(told.scale, said)}" if errors_matter(said, told.scale.kind) else sentence


def _errors(scale: Scale, said: Said, segment: str = "") -> str:
    if said.change is None or said.usual is None:
        return usual(scale, said)
    now, then = said.change.means, said.usual
    what = "error rate" if scale.two_valued else "mean absolute error"
    where = f" in {segment}" if segment else ""
    verb = "rose" if now[0] > then[0] else "went"  # where mistakes of one kind make up for fewer of the other
    told = (
        f"the {what}{where} {verb} from {amount(scale, float(then[0]))} to {amount(scale, float(now[0]))} "
        f"over {said.change.labels:.0f} labels"
    )
    return f"{told}{_way(scale, now, then)}"


def segments(told: Told, parts: Mapping[str, Said], whole: Said) -> str:
    """Where it is worst; empty: segments are not followed, or none stands out."""
    if whole.change is None:
        return ""
    rose = [(name, said) for name, said in parts.items() if said.evidence > SHOWN_MIN]
    shown = sorted(rose, key=lambda each: -_excess(each[1]))[:NAMED_MAX]
    worse = [(n, s) for n, s in shown if _stands_out(s, whole)]
    if not worse:
        return "in no segment more than elsewhere" if parts else ""
    named = (f"{name} ({amount(told.scale, s.then)} → {amount(told.scale, s.now)})" for name, s in worse)
    return f"most in {', '.join(named)}"


def _stands_out(part: Said, whole: Said) -> bool:
    """Whether it is a quarter worse, of the same thing and in the same direction."""
    if not whole.scores:
        return not part.scores and part.rise > 1.25 * max(whole.rise, 0.0)
    same = part.scores and (part.now > part.then) == (whole.now > whole.then)
    return same and part.effect > 1.25 * whole.effect


def _excess(said: Said) -> float:
    """Loss, or outcomes missed or too many, beyond what was expected since the change."""
    assert said.change is not None  # noqa: S101 - what calls it has chosen so
    beyond = said.change.labels * (said.now - said.then)
    return abs(beyond) if said.scores else beyond


def _way(scale: Scale, now: np.ndarray, then: np.ndarray) -> str:
    """Which of the two directions the rise is of."""
    if len(now) < 3:
        return ""
    over, under = (float(now[k] - then[k]) for k in (1, 2))
    names = DIRECTIONS[scale.kind]
    shown = ", ".join(
        f"{name} {amount(scale, float(then[k]))} → {amount(scale, float(now[k]))}" for k, name in enumerate(names, 1)
    )
    gained = max(over, 0.0) + max(under, 0.0)
    if over > MOSTLY * gained:
        return f", mostly {names[0]} ({shown})"
    if under > MOSTLY * gained:
        return f", mostly {names[1]} ({shown})"
    return f", in both directions ({shown})"
