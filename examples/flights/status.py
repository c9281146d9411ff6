"""What the agent says of itself at /status, polled while the replay runs."""

from __future__ import annotations

import json
import math
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

POLL_SECONDS = 0.5
WORDS = {
    "type_mismatch": "wrong type", "missing": "missing", "not_finite": "not a number", "out_of_range": "out of range",
    "new_category": "unknown categories", "absent": "absent", "fractional": "fractions", "constant": "stuck",
    "new_feature": "new feature",
}  # fmt: skip
# Of the predictions as a whole, or in units of their own: the agent's sentence says it best.
OWN_WORDS = frozenset({"concept_drift", "performance", "estimated_performance", "retrain", "stale", "fairness"})
SUM = "retrain_suggested"  # sums up what other alerts say
FIRING, UPDATED, RESOLVED = (f"sidelight.alert.{state}" for state in ("firing", "updated", "resolved"))


@dataclass(frozen=True, slots=True)
class Drift:
    """One watched value in the newest window. effect: PSI less what noise alone would give; NaN: not tested.

    nearness: 0 nothing unusual, 1 an alarm's significance; logarithmic in between.
    """

    subject: str
    effect: float
    verdict: str
    nearness: float = 0.0

    @property
    def alarms(self) -> bool:
        return self.verdict == "alarm"


@dataclass(frozen=True, slots=True)
class Subject:
    """One thing an alert is about. effect: in the check's own unit; horizon: days that were pooled. words: the
    agent's."""

    name: str
    check: str
    effect: float
    horizon: int
    words: str = ""

    @property
    def said(self) -> str:
        """A few words for one line."""
        if self.check == "drift":
            return f"{self.name}, PSI {self.effect:.2g} over {'1 day' if self.horizon == 1 else f'{self.horizon} days'}"
        if self.check == "latency":
            return f"{self.effect:.1f} times the usual"
        if self.check == "volume":
            return f"{self.effect:.1f} times as much as usual, or as little"
        if self.check in OWN_WORDS:
            return self.words
        return f"{self.name}, {WORDS.get(self.check, self.check)} (+{self.effect:.0%} of rows)"


@dataclass(frozen=True, slots=True)
class Alarm:
    """One moment at which an alert fired, or named something new. told: the end of the day that did it.

    subjects: what it names. body: the agent's own sentence. Times are the replay's.
    """

    key: str
    event: str
    alert: str
    severity: str
    subjects: tuple[Subject, ...]
    start: pd.Timestamp
    told: pd.Timestamp
    body: str

    @property
    def day(self) -> pd.Timestamp:
        """The day whose close it was."""
        return self.told - pd.Timedelta(days=1)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(subject.name for subject in self.subjects)

    @property
    def said(self) -> str:
        """One line."""
        return f"{self.alert.replace('_', ' ')}: {'; '.join(subject.said for subject in self.subjects)}"


def news(alarms: Iterable[Alarm]) -> tuple[Alarm, ...]:
    """Every alarm with only the subjects its alert had not named before; repetitions, endings and what only sums up
    others are left out."""
    named: dict[tuple[str, pd.Timestamp], set[tuple[str, str]]] = {}
    found = []
    for alarm in alarms:
        if alarm.event not in (FIRING, UPDATED) or alarm.alert == SUM:
            continue
        known = named.setdefault((alarm.alert, alarm.start), set())
        fresh = tuple(s for s in alarm.subjects if (s.check, s.name) not in known)
        known.update((s.check, s.name) for s in fresh)
        if fresh:
            found.append(replace(alarm, subjects=fresh))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Status:
    """One look at the agent. Seconds for latencies; NaN where it does not know yet."""

    state: str = "starting"
    received: int = 0
    kept: int = 0
    labels: int = 0
    lost: int = 0
    windows_closed: int = 0
    p50: float = float("nan")
    p99: float = float("nan")
    drift: tuple[Drift, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    hint: str = ""


def read(document: Mapping[str, Any]) -> Status:
    """The document as values. Raises KeyError or ValueError when it is not what the agent promises."""
    hint = str(document.get("hint") or "")
    alarms = tuple(alarm(event) for event in document["events"] if event["name"].startswith("sidelight.alert."))
    if not document["models"]:
        return Status(alarms=alarms, hint=hint)
    model = document["models"][0]
    records, latency = model["records"], model["latency"] or {}
    return Status(
        state=model["state"],
        received=records["received"],
        kept=records["kept"],
        labels=model["labels"],
        lost=records["refused"] + records["late"] + records["dropped"],
        windows_closed=model["windows_closed"],
        p50=_number(latency.get("p50")),
        p99=_number(latency.get("p99")),
        drift=tuple(map(drift, model["drift"])),
        alarms=alarms,
        hint=hint,
    )


def drift(finding: Mapping[str, Any]) -> Drift:
    """One entry of a model's drift."""
    p, alpha = _number(finding["p"]), _number(finding["alpha"])
    tested = 0.0 < alpha < 1.0 and p <= 1.0
    nearness = min(1.0, math.log(max(p, 1e-300)) / math.log(alpha)) if tested else 0.0
    return Drift(finding["feature"], _number(finding["effect"]), finding["verdict"], nearness)


def alarm(event: Mapping[str, Any]) -> Alarm:
    """One of the agent's alert events."""
    attributes = event["attributes"]
    return Alarm(
        key=event["key"],
        event=event["name"],
        alert=attributes["sidelight.alert.name"],
        severity=attributes["sidelight.alert.severity"],
        subjects=tuple(
            Subject(
                one["name"] or one["check"], one["check"], _number(one.get("effect")), int(one.get("horizon", 1)),
                one.get("said", ""),
            )
            for one in attributes["sidelight.alert.features"]
        ),
        start=_time(attributes["sidelight.alert.start"]),
        told=_time(event["time"]),
        body=event["body"],
    )


def _time(text: str) -> pd.Timestamp:
    """Naive, as the replay's own times are."""
    return pd.Timestamp(text).tz_localize(None)


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


@dataclass
class Watch:
    """Polls the agent in a thread of its own; `now` and `rate` are always whole. Keeps every alarm it ever saw."""

    url: str
    now: Status = field(default_factory=Status)
    rate: float = 0.0
    _alarms: dict[str, Alarm] = field(default_factory=dict)
    _kept: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=8))
    _stopped: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Watch:
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    @property
    def alarms(self) -> tuple[Alarm, ...]:
        """All of them, in the order they were told; the agent itself remembers the newest only."""
        return news(self._alarms.copy().values())

    def look(self) -> Status:
        """Asks the agent now. Raises OSError when it does not answer."""
        with urllib.request.urlopen(f"{self.url}/status", timeout=5) as answer:
            found = read(json.load(answer))
        for one in found.alarms:
            self._alarms[one.key] = one
        self._kept.append((time.monotonic(), found.kept))
        (first, before), (last, after) = self._kept[0], self._kept[-1]
        self.rate = (after - before) / (last - first) if last > first else 0.0
        self.now = found
        return found

    def _run(self) -> None:
        while not self._stopped.wait(POLL_SECONDS):
            try:
                self.look()
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                continue  # the replay notices a dead agent by its process
