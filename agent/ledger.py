"""The one dial, split: how significant a single test must be, so that all together keep the promised rate.

Every check owns a share of the dial. One that has nothing to judge (no segments, no texts, no labels) lends its share
to the checks that look at each feature, in proportion, and takes it back when it runs: nobody ever has less than its
own (docs/decisions/0092). A share is divided over all tests that the check makes in a day (features x windows x
horizons), which bounds the expected number of false alarms whatever the tests have to do with each other (Bonferroni).
What one of these tests cannot spend goes to others of its check: `spending.py` in `agent/drift` and `agent/quality`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

from agent.bins import Feature, Layout
from agent.records import Kind, Source

DAY_SECONDS = 86_400.0
# Within drift: the model's own output is the best single channel (Rabanser et al. 2019), so it gets half.
OUTPUT_SHARE = 0.5
ROW_SHARE = 0.1  # of drift: what no single feature shows
IDLE = "not running"
CRITICAL_WEIGHT = 4.0  # a critical feature's test may be so many times less significant than another's


@dataclass(frozen=True, slots=True)
class Check:
    """A kind of check. share: of the dial; horizons: windows pooled, a test each; per_feature: or once a model."""

    name: str
    share: float
    horizons: tuple[int, ...]
    per_feature: bool = True


NEWEST = (1,)
HORIZONS = (1, 2, 4, 8, 16, 24)  # drift: small ones are found without asking anyone for a window's length
RATES = (1, 4, 16)  # rates of faults: a fault is mostly sudden, so fewer
# The shares add up to 1.
CHECKS: tuple[Check, ...] = (
    Check("drift", 0.34, HORIZONS),
    Check("type_mismatch", 0.03, RATES),
    Check("missing", 0.04, RATES),
    Check("absent", 0.03, RATES),
    Check("out_of_range", 0.03, RATES),
    Check("new_category", 0.03, RATES),
    Check("not_finite", 0.03, RATES),
    Check("fractional", 0.02, RATES),
    Check("constant", 0.01, NEWEST),
    Check("duplicates", 0.02, NEWEST, per_feature=False),
    Check("volume", 0.08, NEWEST, per_feature=False),
    Check("latency", 0.04, NEWEST, per_feature=False),
    Check("performance", 0.10, HORIZONS, per_feature=False),
    Check("estimated_performance", 0.05, HORIZONS, per_feature=False),
    Check("concept_drift", 0.05, NEWEST, per_feature=False),
    Check("fairness", 0.04, HORIZONS, per_feature=False),
    Check("segments", 0.06, RATES),  # all checks within segments, over all of them
)
RUNNING = (
    "drift", "type_mismatch", "missing", "absent", "out_of_range", "new_category", "not_finite", "fractional",
    "constant", "duplicates", "volume", "latency",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Dial:
    """What is promised: false alarms a day for one model name, over all its replicas and versions. segments: how
    many."""

    false_alarms_per_day: float = 0.05
    replicas: int = 1
    versions: int = 1
    segments: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the split. share: of the dial, with what is lent; alpha: of one test, at least; tests_per_day: 0
    where there is nothing to judge."""

    check: str
    group: str
    share: float
    alpha: float
    tests_per_day: float


@dataclass(frozen=True)
class Ledger:
    """Made once for a layout.

    >>> from agent.bins import Feature, Layout
    >>> age = Feature("age", Source.FEATURE, Kind.NUMBER, edges=(0.0, 50.0, 99.0))
    >>> said = Feature("score", Source.SCORE, Kind.NUMBER, edges=(0.0, 0.5, 1.0))
    >>> ledger = Ledger.of(Dial(0.05), Layout((age, said)), 3600.0, ("drift", "missing"))
    >>> f"{ledger.alpha('drift', 0):.3g}", f"{ledger.alpha('missing', 0):.3g}"
    ('0.000155', '3.65e-05')
    >>> sum(row.alpha * row.tests_per_day for row in ledger.rows()) <= 0.05
    True
    """

    dial: Dial
    layout: Layout
    window_seconds: float
    checks: frozenset[str]

    @classmethod
    def of(
        cls,
        dial: Dial,
        layout: Layout,
        window_seconds: float,
        checks: Collection[str] = RUNNING,
    ) -> Ledger:
        """checks: those that run, of CHECKS; the others' shares are lent. Unknown names raise ValueError.

        window_seconds is in the windows' own time: a replay of history counts by the days it replays.
        """
        unknown = set(checks) - {check.name for check in CHECKS}
        if unknown:
            raise ValueError(f"no share is set aside for {', '.join(sorted(unknown))}")
        return cls(dial, layout, window_seconds, frozenset(checks))

    def alpha(self, check: str, feature_index: int) -> float:
        """The significance one test may use: one feature, one window, one horizon. 0 where there is to be no test.

        Features of one group (projections of a vector) share what one feature gets.

        Checks of the whole model have one figure; any feature_index gives it. Unknown checks raise KeyError.
        """
        return self._alphas[check][feature_index]

    def budget(self, check: str) -> float:
        """False alarms a day that one version on one replica may spend on this check."""
        return self._shares[check] * self.dial.false_alarms_per_day / (self.dial.replicas * self.dial.versions)

    @property
    def windows_per_day(self) -> float:
        return DAY_SECONDS / self.window_seconds

    def rows(self) -> tuple[Row, ...]:
        """The whole split, also of what is not judged; share x dial = alpha x tests_per_day for each, over replicas and
        versions."""
        found = []
        for check in CHECKS:
            share, groups = self._shares[check.name], self._groups(check)
            if not self._works(check):
                why = "no such features" if check.name in self.checks else IDLE
                found.append(Row(check.name, why, share, 0.0, 0.0))
                continue
            found += [
                Row(
                    check.name,
                    name,
                    share * part,
                    self._alpha(check, part, self._subjects(members)),
                    self._tests(check, self._subjects(members)),
                )
                for name, part, members in groups
            ]
        return tuple(found)

    @cached_property
    def _shares(self) -> dict[str, float]:
        """Of the dial, with what is lent: to the checks of single features, for those of the whole model also run where
        nothing is known of any feature, and one figure has to do."""
        own = {check.name: check.share for check in CHECKS}
        work = {check.name for check in CHECKS if self._works(check)}
        take = {check.name for check in CHECKS if check.name in work and check.per_feature} - {"segments"}
        if not take:
            return own
        lent = sum(own[name] for name in own if name not in work)
        # In the table's order: a set's is another one after a restart, and so is the last bit of its sum.
        taking = sum(own[name] for name in own if name in take)
        grown = 1.0 + lent / taking
        return {name: share * (grown if name in take else name in work) for name, share in own.items()}

    def _works(self, check: Check) -> bool:
        return check.name in self.checks and bool(self._groups(check))

    @cached_property
    def _alphas(self) -> dict[str, tuple[float, ...]]:
        return {check.name: self._of_check(check) for check in CHECKS}

    def _of_check(self, check: Check) -> tuple[float, ...]:
        count = max(len(self.layout.features), 1)
        if check.name not in self.checks:
            return (0.0,) * count
        if not check.per_feature:
            return (self._alpha(check, 1.0, 1),) * count
        found = [0.0] * count
        for _, part, members in self._groups(check):
            alpha = self._alpha(check, part, self._subjects(members))
            for i in members:
                found[i] = alpha / self._parts[self._subject(i)]
        return tuple(found)

    def _subject(self, i: int) -> tuple[Source, str]:
        """What is counted as one feature."""
        feature = self.layout.features[i]
        return feature.source, feature.group or feature.name

    @cached_property
    def _parts(self) -> Counter[tuple[Source, str]]:
        return Counter(self._subject(i) for i in range(len(self.layout.features)))

    def _subjects(self, members: Sequence[int]) -> int:
        return len({self._subject(i) for i in members}) if self.layout.features else len(members)

    def _groups(self, check: Check) -> list[tuple[str, float, list[int]]]:
        """(name, part of the check's share, features); parts add up to 1."""
        if not check.per_feature:
            return [("model", 1.0, [0])]
        tested = [i for i, f in enumerate(self.layout.features) if _applies(check.name, f)]
        if check.name not in ("drift", "segments"):
            return [("every feature", 1.0, tested)] if tested else []
        features = self.layout.features
        outputs = [i for i in tested if features[i].source in (Source.PREDICTION, Source.SCORE)]
        row = [i for i in tested if features[i].source is Source.ROW]
        critical = [i for i in tested if features[i].source is Source.FEATURE and features[i].critical]
        rest = [i for i in tested if features[i].source is Source.FEATURE and not features[i].critical]
        heavy = CRITICAL_WEIGHT * self._subjects(critical)
        weight = heavy + self._subjects(rest)
        of_row = ROW_SHARE if row else 0.0
        left = (1.0 - of_row - (OUTPUT_SHARE if outputs else 0.0)) if weight else 0.0
        named = [
            ("prediction and score", 1.0 - of_row - left, outputs),
            ("whole rows", of_row, row),
            ("critical features", left * heavy / max(weight, 1.0), critical),
            ("other features", left * (weight - heavy) / max(weight, 1.0), rest),
        ]
        return [group for group in named if group[2]]

    def _tests(self, check: Check, members: int) -> float:
        """Tests a day of so many features."""
        segments = self.dial.segments if check.name == "segments" else 1
        return members * self.windows_per_day * len(check.horizons) * segments

    def _alpha(self, check: Check, part: float, members: int) -> float:
        tests = self._tests(check, members)
        # Few tests a day must not be granted a significance that means nothing.
        return min(self.budget(check.name) * part / tests, 0.01) if tests else 0.0

    @staticmethod
    def _check(name: str) -> Check:
        return next(check for check in CHECKS if check.name == name)


def _applies(check: str, feature: Feature) -> bool:
    if feature.ignored:
        return False
    if feature.source is Source.ROW and check != "drift":
        return False
    if feature.source is Source.LATENCY or check == "latency":
        return check == "latency" and feature.source is Source.LATENCY
    if check in ("drift", "segments"):  # a vector by its parts, which are not counted by segment
        return feature.kind is not Kind.VECTOR and feature.bins > 0 and not (check == "segments" and feature.computed)
    if feature.group:
        return check in ("type_mismatch", "missing", "absent", "not_finite") and feature.kind is Kind.VECTOR
    if check in ("out_of_range", "not_finite"):
        return feature.kind is Kind.NUMBER
    if check == "fractional":
        return feature.integral
    return check != "new_category" or feature.kind is Kind.TEXT
