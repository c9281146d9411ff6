"""What is told of versions beside each other: metrics, events, and lines for the status and the page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from agent import telemetry
from agent.records import Event, Floats
from agent.shadow.answers import MEASURES
from agent.shadow.chosen import VERSIONS_MAX
from agent.shadow.comparing import Comparison, State, Version
from agent.shadow.deciding import Decision, Opinion, words
from agent.shadow.losses import WORDS
from agent.telemetry import Metric, Point, Shape

EVENT = "sidelight.shadow.decision"
CHALLENGER = "sidelight.challenger.version"
SEGMENTS_SHOWN = 5
NAMED_MAX = 8  # of those that are not compared
CONFOUNDED = "each version had requests of its own: fair only where chance decides which version answers"


def points(state: State) -> Iterator[Point]:
    for champion, challenger, held, swapped in state.challenges():
        own = {**champion.key.attributes(), CHALLENGER: challenger.key.version}

        def point(metric: Metric, value: float, own: dict[str, str] = own, **more: str | bool) -> Point:
            about = {**own, **{f"sidelight.{name}": word for name, word in more.items()}}
            return Point(metric, value, about, 0 if metric.shape is Shape.GAUGE else state.started_ns)

        answered = held.before.pairs + held.newest.pairs + held.now.pairs
        yield point(telemetry.SHADOW_PAIRS, answered, labelled=False)
        yield point(telemetry.SHADOW_PAIRS, held.sums.labels, labelled=True)
        agreement, latency = held.newest.agreement(), held.newest.mean("latency", swapped)
        if agreement is not None:
            yield point(telemetry.SHADOW_AGREEMENT, agreement)
        for name, value in held.newest.values(swapped).items():
            if math.isfinite(value):
                yield point(telemetry.SHADOW_DIFFERENCE, value, statistic=name)
        if latency is not None:
            yield point(telemetry.SHADOW_LATENCY, latency)
        for name in MEASURES:
            more = held.newest.mean(name, swapped)
            if more is not None:
                yield point(telemetry.SHADOW_MEASURE, more, measure=name)
        opinion = held.opinion
        if opinion.labels:
            for name in ("mean", "lower", "upper"):
                value = getattr(opinion, name)
                if math.isfinite(value):
                    yield point(telemetry.SHADOW_LOSS, value, loss=state.loss, statistic=name)
        for decision in Decision:
            yield point(telemetry.SHADOW_DECISION, int(decision is opinion.decision), decision=str(decision))
        if opinion.needed is not None:
            yield point(telemetry.SHADOW_NEEDED, opinion.needed)


def event(
    champion: Version, challenger: Version, opinion: Opinion, loss: str, told: str, window: int, end_ns: int
) -> Event:
    """A decision, once."""
    attributes = {
        **champion.key.attributes(), CHALLENGER: challenger.key.version, "sidelight.decision": str(opinion.decision),
        "sidelight.loss": loss, "sidelight.shadow.paired": opinion.paired, "sidelight.shadow.labels": opinion.labels,
        "sidelight.shadow.difference": opinion.mean, "sidelight.shadow.lower": opinion.lower,
        "sidelight.shadow.upper": opinion.upper, "sidelight.window.index": window,
    }  # fmt: skip
    key = f"shadow-{champion.place}-{challenger.place}-{opinion.decision}-{window}"
    return Event(EVENT, key, end_ns, "INFO", f"{champion.key.name}: {told}.", attributes)


def show(state: State) -> dict[str, Any]:
    """For status and page; empty where there is one version only."""
    if len(state.versions) < 2:
        return {}
    left_out = [one.named + (f" of {one.key.tenant}" if one.key.tenant else "") for one in state.missed()]
    if not state.champions:
        note = "no version's answers are used (all are shadows): nothing to compare with"
        return {"title": "Versions beside each other", "lines": [], "note": note, "not_compared": left_out}
    lines: list[dict[str, Any]] = []
    notes = [_beyond(left_out)] if left_out else []
    decisions: dict[str, Any] = {}
    for champion, challenger, held, swapped in state.challenges():
        name = challenger.named + (f" of {champion.key.tenant}" if len(state.champions) > 1 else "")
        lines += _lines(name, state.loss, held, swapped)
        notes.append(words(held.opinion, champion.named, name, state.loss))
        if not held.opinion.paired:
            notes.append(CONFOUNDED)
        decisions[challenger.key.version] = {
            "decision": str(held.opinion.decision), "needed": held.opinion.needed, "labels": held.opinion.labels,
            "paired": held.opinion.paired,
        }  # fmt: skip
    (only, *more) = state.champions.values()
    title = "Versions beside each other" if more else f"Versions beside {only.named}"
    return {"title": title, "lines": lines, "note": "; ".join(notes), "decisions": decisions, "not_compared": left_out}


def _beyond(left_out: Sequence[str]) -> str:
    """Of a table with bounds, what it does not hold."""
    named = ", ".join(left_out[:NAMED_MAX]) + (
        f" and {len(left_out) - NAMED_MAX} more" if len(left_out) > NAMED_MAX else ""
    )
    return f"not compared: {named}; the one whose answers are used and the newest {VERSIONS_MAX - 1} others are"


def _lines(name: str, loss: str, held: Comparison, swapped: bool) -> list[dict[str, Any]]:
    opinion, newest = held.opinion, held.newest
    lines: list[dict[str, Any]] = [_line(f"{name}: decision", str(opinion.decision).replace("_", " "), "text")]
    if opinion.labels:
        unit = "share" if loss == "error" else "number"
        whole = _line(f"{name}: {WORDS[loss]}", opinion.challenger, unit)
        better = _line(f"{name}: better by", opinion.mean, unit)
        lines += [whole | {"expected": opinion.champion}, better | {"low": opinion.lower, "high": opinion.upper}]
        lines += _segments(name, unit, held, swapped)
    if newest.pairs:
        lines.append(_line(f"{name}: same requests in the newest window", newest.pairs, "number"))
    agreement, values = newest.agreement(), newest.values(swapped)
    if agreement is not None:
        lines.append(_line(f"{name}: agreement", agreement, "share"))
    if values:
        span = f"half lie below {values['p50']:.3g}, nine of ten between {values['p05']:.3g} and {values['p95']:.3g}"
        difference = _line(f"{name}: difference", values["mean"], "number")
        lines.append(difference | {"note": f"sd {values['sd']:.3g}; {span}"})
    for word, value, unit in (
        ("latency more", newest.mean("latency", swapped), "seconds"),
        *((f"{measure} more a request", newest.mean(measure, swapped), "number") for measure in MEASURES),
    ):
        if value is not None:
            lines.append(_line(f"{name}: {word}", value, unit))
    return lines


def _segments(name: str, unit: str, held: Comparison, swapped: bool) -> list[dict[str, Any]]:
    """The parts of the traffic in which the difference is furthest from the whole's; no test."""

    def better(sums: Floats) -> float:
        return float((sums[2] - sums[3]) / sums[1]) * (-1.0 if swapped else 1.0)

    parts = sorted(
        held.segments.items(), key=lambda part: -abs(better(part[1]) - held.opinion.mean) * part[1][0] ** 0.5
    )
    return [
        _line(f"{name}: better by in {part}", better(sums), unit) | {"note": f"{int(sums[0])} labels"}
        for part, sums in parts[:SEGMENTS_SHOWN]
    ]


def _line(name: str, value: Any, unit: str) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit}
