"""Which alerts are pending or firing, as values that can be stored."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from agent.alerting.rules import BY_NAME
from agent.errors import CorruptError
from agent.records import AlertState, Event, ModelKey, Role, Source
from agent.telemetry import ALERT, Point

FORMAT = 1

Watched = tuple[Source, str]  # one watched value: where it comes from, its name


@dataclass(frozen=True, slots=True)
class WindowContext:
    """The close that is being judged.

    window: its index; start_ns, end_ns: its bounds; rows: how many came. share: this version's part of the model's
    traffic, 0-1; versions: those seen lately. offset: of the journal frame that closed it; event_number: of the first
    event of this close, where several windows close at one offset. public: values whose category names may leave.
    """

    model: ModelKey
    window: int
    start_ns: int
    end_ns: int
    rows: int
    share: float = 1.0
    versions: tuple[str, ...] = ()
    reference_hash: str = ""
    offset: int = 0
    event_number: int = 0
    public: frozenset[Watched] = frozenset()


@dataclass(frozen=True, slots=True)
class Subject:
    """One check of one watched value inside an alert: its newest bad figures. None: not measured.

    healthy: good closes in a row so far. said: what is wrong with it, without values.
    moved: bins or categories whose share changed most (bin, public name or "", reference, current). significance: log10
    of alpha / p. since_ns: start of the first bad window; 0: not known.
    """

    check: str
    source: Source
    name: str
    said: str
    healthy: int = 0
    effect: float | None = None
    p_value: float | None = None
    phi: float = 1.0
    horizon: int = 1
    n: int = 0
    n_reference: int = 0
    moved: tuple[tuple[int, str, float, float], ...] = ()
    significance: float | None = None
    since_ns: int = 0

    segment: str = ""  # "region=north": found in that part of the traffic only

    @property
    def watched(self) -> Watched:
        return self.source, self.name

    @property
    def id(self) -> tuple[str, Source, str, str]:
        return self.check, self.source, self.name, self.segment


@dataclass(frozen=True, slots=True)
class Alert:
    """One cause in one series. subjects: worst first. since_*: the first bad window.

    bad_windows: closes it was bad while pending. consequences: outputs and rows that moved while it fired.
    """

    name: str
    model: ModelKey
    state: AlertState
    severity: str
    since_window: int
    since_ns: int
    bad_windows: int = 1
    subjects: tuple[Subject, ...] = ()
    consequences: tuple[Subject, ...] = ()

    @property
    def watched(self) -> frozenset[Watched]:
        """The values it is about now."""
        return frozenset(subject.watched for subject in self.subjects)


@dataclass(frozen=True, slots=True)
class Change:
    """What one close changed. event: what to say, None where only histories are to be forgotten.

    forget: values whose closed windows must be emptied, so that a horizon that still drains cannot fire again;
    forget_in: likewise, in one segment alone, which comes first.
    """

    alert: str
    model: ModelKey
    event: Event | None
    forget: tuple[Watched, ...] = ()
    forget_in: tuple[tuple[str, Source, str], ...] = ()


@dataclass(frozen=True, slots=True)
class AlertBook:
    """Every pending and firing alert, sorted by series and name; never two of one cause in one series."""

    alerts: tuple[Alert, ...] = ()

    def of(self, model: ModelKey) -> dict[str, Alert]:
        """One series' alerts by name."""
        return {alert.name: alert for alert in self.alerts if alert.model == model}

    def replaced(self, model: ModelKey, alerts: Iterable[Alert]) -> AlertBook:
        """With one series' alerts replaced."""
        kept = [alert for alert in self.alerts if alert.model != model]
        return AlertBook(tuple(sorted([*kept, *alerts], key=_order)))

    def to_json(self) -> str:
        """Stable text: the same book gives the same bytes."""
        alerts = [{**asdict(alert), "model": asdict(alert.model)} for alert in self.alerts]
        return json.dumps({"format": FORMAT, "alerts": alerts}, sort_keys=True, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> AlertBook:
        """Raises CorruptError for anything `to_json` did not write; alerts of rules that are gone are left out."""
        try:
            stored = json.loads(text)
            if stored["format"] != FORMAT:
                raise CorruptError(f"alert book: format {stored['format']}, expected {FORMAT}")
            return cls(tuple(_alert(entry) for entry in stored["alerts"] if entry["name"] in BY_NAME))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CorruptError(f"alert book: {type(error).__name__}") from error


def points(book: AlertBook) -> Iterable[Point]:
    """1 for each alert that fires."""
    for alert in book.alerts:
        if alert.state is AlertState.FIRING:
            attributes = {"sidelight.alert.name": alert.name, "sidelight.alert.severity": alert.severity}
            yield Point(ALERT, 1, {**alert.model.attributes(), **attributes})


def _order(alert: Alert) -> tuple[str, ...]:
    model = alert.model
    return model.tenant, model.name, model.version, model.role.name, model.deployment, alert.name


def _alert(entry: Mapping[str, Any]) -> Alert:
    return Alert(
        **{
            **entry,
            "model": ModelKey(**{**entry["model"], "role": Role(entry["model"]["role"])}),
            "state": AlertState(entry["state"]),
            "subjects": tuple(_subject(part) for part in entry["subjects"]),
            "consequences": tuple(_subject(part) for part in entry["consequences"]),
        }
    )


def _subject(entry: Mapping[str, Any]) -> Subject:
    moved = tuple((int(cell), str(label), float(then), float(now)) for cell, label, then, now in entry["moved"])
    return Subject(**{**entry, "source": Source(entry["source"]), "moved": moved})
