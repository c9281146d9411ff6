"""Is the estimate worse than what would have been estimated of the reference? A finding for each metric that alarms."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from agent.estimate.expected import ACCURACY, AUC
from agent.estimate.loss import MAE, MAPE, RMSE
from agent.estimate.methods import Method
from agent.estimate.spread import Spread
from agent.estimate.validity import Belief, Validity
from agent.ledger import HORIZONS
from agent.records import Finding, Floats, Source, Verdict

CHECK = "estimated_performance"
ROWS_MIN = 50  # of the newest window
# Worth an alarm: a twentieth more of the loss (1 - accuracy, 1 - AUC, MAE), and of a share a hundredth at least.
RISE_MIN, SHARE_MIN = 0.05, 0.01
RATES = frozenset({ACCURACY, AUC})
WORDS = {
    ACCURACY: "accuracy", AUC: "ROC AUC", "precision": "precision", "recall": "recall", "f1": "F1",
    "specificity": "specificity", MAE: "mean absolute error", RMSE: "root mean squared error",
    MAPE: "mean relative error",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Look:
    """One horizon. worse: in the metric's unit; rise: of the loss, relative."""

    horizon: int
    p: float
    phi: float
    value: float
    worse: float
    rise: float
    rows: int


class Judge:
    """Made once for a reference and a length of windows."""

    def __init__(self, method: Method, blocks_a_window: float) -> None:
        self._method = method
        past = method.past
        self.usual = dict(zip(past.metrics, past.usual.tolist(), strict=True))
        self._spread = {
            name: Spread(past, i, self.prior(name), blocks_a_window) for i, name in enumerate(past.metrics)
        }
        self._n_reference = int(past.rows.sum())

    def prior(self, metric: str) -> float:
        """Standard deviation of windows that is believed beforehand: half of what is worth an alarm."""
        loss = 1.0 - self.usual[metric] if metric in RATES else self.usual[metric]
        return float(max(RISE_MIN * loss, SHARE_MIN if metric in RATES else 0.0)) / 2.0

    def judging(
        self, windows: Sequence[Floats], alpha: float, index: int, validity: Validity
    ) -> Iterator[list[Finding]]:
        """In steps, a finding of each metric. windows: sums of the newest ones, newest last. alpha: of the check,
        divided over its metrics."""
        share = alpha / max(len(self.usual), 1)
        pools = np.cumsum(np.array(windows)[::-1], axis=0)[[h - 1 for h in HORIZONS if h <= len(windows)]]
        values = self._method.tested(pools)
        for metric in self.usual:
            yield []
            yield [(yield from self._one(metric, pools, values[metric], share, index, validity))]

    def _one(
        self, metric: str, pools: Floats, values: Floats, alpha: float, index: int, validity: Validity
    ) -> Generator[list[Finding], None, Finding]:
        """A horizon in each step."""
        counted, _, _ = self._method.rows(pools[0])
        if counted < ROWS_MIN:
            verdict = Verdict.NOT_ENOUGH_ROWS if counted else Verdict.NO_DATA
            return self._finding(metric, verdict, alpha, index, f"{counted} rows, {ROWS_MIN} are needed", n=counted)
        looks = []
        for horizon, sums, value in zip(HORIZONS, pools, values.tolist(), strict=False):
            look = self._look(metric, sums, value, horizon)
            looks += [look] if look else []
            yield []
        if not looks:
            blocks = self._spread[metric].blocks
            said = f"the reference has {blocks} windows with a score and a label, too few to know how windows differ"
            if not math.isfinite(values[0]):
                said = "not defined of this window"
            return self._finding(metric, Verdict.REFERENCE_TOO_SHORT, alpha, index, said, n=counted)
        newest = looks[0]
        best = min(looks, key=lambda look: (not (look.p <= alpha and self._worth(metric, look)), look.p))
        verdict, said = self._verdict(metric, best, newest, alpha, validity)
        distances = {"newest_p": newest.p, "newest_effect": newest.rise, "newest": newest.value,
                     "believed": validity.belief.figure}  # fmt: skip
        return self._finding(metric, verdict, alpha, index, said, best, distances)

    def _look(self, metric: str, sums: Floats, value: float, horizon: int) -> _Look | None:
        spread = self._spread[metric]
        if not spread.knows(horizon) or not math.isfinite(value):
            return None
        counted, rows, _ = self._method.rows(sums)
        usual = self.usual[metric]
        worse = usual - value if metric in RATES else value - usual
        found = spread.judge(worse, rows, horizon, 0.0)
        if found.p < 0.01 and worse > 0:  # what the map does not know costs more to find out than the rest together
            found = spread.judge(worse, rows, horizon, self._method.unsure(sums, metric))
        loss = max(1.0 - usual if metric in RATES else usual, 1e-300)
        return _Look(horizon, found.p, found.phi, value, worse, worse / loss, counted)

    def _verdict(
        self, metric: str, best: _Look, newest: _Look, alpha: float, validity: Validity
    ) -> tuple[Verdict, str]:
        windows = "" if best.horizon == 1 else f" over {best.horizon} windows"
        usual = self.usual[metric]
        said = f"{WORDS[metric]} {best.value:.3g}{windows} is estimated without labels, {usual:.3g} in the reference"
        doubt = validity.words()
        if best.p > alpha:
            return Verdict.WITHIN_NOISE, said
        if not self._worth(metric, best) or newest.rise < RISE_MIN / 2.0:
            return Verdict.BELOW_FLOOR, f"{said}; less than a twentieth more of the loss is not worth an alarm"
        if validity.belief is Belief.NO:
            return Verdict.NOT_BELIEVED, f"{said}; {doubt}"
        return Verdict.ALARM, f"{said}; {doubt}" if doubt else said

    def _worth(self, metric: str, look: _Look) -> bool:
        return look.rise >= RISE_MIN and (metric not in RATES or look.worse >= SHARE_MIN)

    def _finding(self, metric: str, verdict: Verdict, alpha: float, index: int, reason: str, look: _Look | None = None,
                 distances: Mapping[str, float] | None = None, n: int = 0) -> Finding:  # fmt: skip
        nan = math.nan
        look = look or _Look(1, nan, 1.0, nan, nan, nan, n)
        return Finding(
            CHECK, metric, Source.PREDICTION, verdict, look.p, alpha, look.rise, look.horizon, look.rows,
            self._n_reference, look.phi, index - look.horizon + 1, look.value, self.usual[metric], distances or {},
            reason=reason,
        )  # fmt: skip
