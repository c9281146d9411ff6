"""Follows one version's age, and gathers the reasons to train it anew into one finding."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from agent.errors import CorruptError
from agent.following import About
from agent.records import Batch, Closed, Event, Finding, Pairs, Source, Verdict
from agent.staleness.reasons import Reason, enough, faults, reasons
from agent.telemetry import MODEL_AGE, RETRAIN_REASON, Point

STALE, RETRAIN = "stale", "retrain"  # the checks
DAY = 86_400.0
# A reason stands so many windows after it was last found: horizons speak now and then, and a suggestion that comes and
# goes with them would ask for training again and again.
HELD_WINDOWS = 24
# Windows end out of order by an hour or so; by more a clock had gone ahead, and all versions would be old for ever.
BACK_NS = 24 * 3600 * 10**9
AHEAD_DAYS, LONG_DAYS = 1.0, 50 * 365.25  # a training in the future, or before there were models like these, was none
TITLE = "Age, and reasons to train anew"
WORDS_MAX = 300  # characters kept of a reason
FORMAT = 1


class Staleness:
    """The follower `staleness`. Memory: a line for each of five reasons."""

    name = "staleness"

    def __init__(self) -> None:
        self._about: About | None = None
        self._beside: tuple[Finding, ...] = ()
        self._held: dict[Reason, tuple[int, str]] = {}  # the newest window it was found in, and the words
        self._faulty: tuple[int, str] | None = None
        self._standing: dict[Reason, str] = {}
        self._end_ns = 0

    def prepare(self, about: About) -> None:
        self._about = about

    def predicted(self, batch: Batch, index: int) -> None:
        """Nothing of single predictions is needed."""

    def labelled(self, pairs: Pairs, index: int) -> None:
        """What labels say comes as findings."""

    def beside(self, findings: Sequence[Finding]) -> None:
        """Told before `close`: what else was found of the window, by the followers before this one too."""
        self._beside = tuple(findings)

    def close(self, index: int, recent: Sequence[Closed], end_ns: int) -> list[Finding]:
        """`stale`: its age beside the limit; `retrain`: the reasons that stand, in one finding."""
        if end_ns > self._end_ns or self._end_ns - end_ns > BACK_NS:
            self._end_ns = end_ns
        stale = self._stale(index)
        faulty = faults(self._beside)
        if faulty:
            self._faulty = index, ", ".join(faulty[:3])
        for reason, words in reasons(self._beside, recent).items():
            self._held[reason] = index, words[:WORDS_MAX]
        self._beside = ()
        self._held = {r: (at, words) for r, (at, words) in self._held.items() if index - at < HELD_WINDOWS}
        if self._faulty is not None and index - self._faulty[0] >= HELD_WINDOWS:
            self._faulty = None
        self._standing = {reason: self._held[reason][1] for reason in Reason if reason in self._held}
        if stale.alarms:
            self._standing = {Reason.STALENESS: stale.reason, **self._standing}
        return [stale, self._retrain(index)]

    def _retrain(self, index: int) -> Finding:
        """effect: how many reasons; distances: 1 for each."""
        said = "; ".join(self._standing.values())
        if not self._standing:
            verdict, said = Verdict.WITHIN_NOISE, "nothing speaks for it"
        elif not enough(self._standing):
            verdict, said = Verdict.BELOW_FLOOR, f"{said}: told by its own alert"
        elif self._faulty is not None and self._standing.keys() != {Reason.STALENESS}:
            verdict, said = Verdict.MUTED, f"first the values at fault ({self._faulty[1]}); {said}"
        else:
            verdict = Verdict.ALARM
        first = min((self._held[r][0] for r in self._standing if r in self._held), default=index)
        return Finding(
            RETRAIN, "", Source.FEATURE, verdict, effect=float(len(self._standing)), first_window=first, reason=said,
            distances=dict.fromkeys(map(str, self._standing), 1.0),
        )  # fmt: skip

    def _stale(self, index: int) -> Finding:
        """effect: the age over the limit; current, expected: both in seconds."""
        age, limit = self._age, self._limit
        verdict, effect = Verdict.WITHIN_NOISE, float("nan")
        if age is None:
            verdict = Verdict.NO_DATA
            said = self._unknown
        elif not limit:
            said = f"trained {age / DAY:.3g} days ago; no limit is set"
        else:
            verdict, effect = (Verdict.ALARM if age > limit else Verdict.WITHIN_NOISE), age / limit
            said = f"trained {age / DAY:.3g} days ago, the limit is {limit / DAY:.3g}"
        return Finding(
            STALE, "", Source.FEATURE, verdict, effect=effect, first_window=index, reason=said,
            current=float("nan") if age is None else age, expected=limit or float("nan"),
        )  # fmt: skip

    @property
    def _limit(self) -> float:
        return 0.0 if self._about is None else self._about.settings.stale_seconds

    @property
    def _age(self) -> float | None:
        """Seconds from the training to the end of the newest window; by event time those of the history."""
        trained = 0 if self._about is None else _trained(self._about)
        if not trained or not self._end_ns:
            return None
        age = (self._end_ns - trained) / 1e9
        return max(age, 0.0) if -AHEAD_DAYS * DAY <= age <= LONG_DAYS * DAY else None

    @property
    def _unknown(self) -> str:
        """Why there is no age."""
        trained = 0 if self._about is None else _trained(self._about)
        if trained and self._end_ns:
            days = (self._end_ns - trained) / 1e9 / DAY
            where = f"{-days:.3g} days ahead of" if days < 0.0 else f"{days:.3g} days before"
            return f"its trained_at lies {where} this window's end: nanoseconds since 1970 are expected"
        return "when it was trained is not known: neither the model's start nor its reference says it"

    def points(self) -> Iterator[Point]:
        if self._about is None:
            return
        attributes = self._about.key.attributes()
        if self._age is not None:
            yield Point(MODEL_AGE, self._age, attributes)
        for reason in self._standing:
            yield Point(RETRAIN_REASON, 1, {**attributes, "sidelight.reason": reason.value})

    def events(self) -> list[Event]:
        """None: what happens is an alert's."""
        return []

    def show(self) -> dict[str, Any]:
        age = self._age
        if age is None and not self._standing:
            return {}
        why = {reason.value: words for reason, words in self._standing.items()}
        lines = [{"name": n.replace("_", " "), "value": "", "unit": "text", "note": said} for n, said in why.items()]
        note = "" if lines else "nothing speaks for training anew"
        found: dict[str, Any] = {"title": TITLE, "lines": lines, "note": note, "reasons": why}
        if age is not None:
            age_of = {"name": "age", "value": f"{age / DAY:.3g} days", "unit": "text"}
            lines.insert(0, age_of)
        if age is not None:
            found["age_days"] = round(age / DAY, 2)
            found["limit_days"] = round(self._limit / DAY, 2) if self._limit else None
        return found

    def dump(self) -> bytes:
        held = {reason.value: list(each) for reason, each in self._held.items()}
        faulty = None if self._faulty is None else list(self._faulty)
        return json.dumps({"format": FORMAT, "held": held, "faulty": faulty, "end_ns": self._end_ns}).encode()

    def load(self, stored: bytes) -> None:
        self._held, self._faulty, self._end_ns = {}, None, 0
        try:
            told = json.loads(stored)
            if told["format"] != FORMAT:
                raise CorruptError(f"staleness: format {told['format']}, expected {FORMAT}")
            held = {Reason(name): (int(at), str(words)) for name, (at, words) in told["held"].items()}
            faulty = None if told["faulty"] is None else (int(told["faulty"][0]), str(told["faulty"][1]))
            end_ns = int(told["end_ns"])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise CorruptError(f"staleness: {type(error).__name__}") from error
        self._held, self._faulty, self._end_ns = held, faulty, end_ns


def _trained(about: About) -> int:
    """ns; 0 unknown. A reference borrowed from another version tells that one's age."""
    reference = about.reference
    if reference is None or reference.version == about.key.version or reference.trained_at_ns != about.trained_at_ns:
        return about.trained_at_ns
    return 0
