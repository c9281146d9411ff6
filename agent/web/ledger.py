"""`sidelight ledger`: how the dial is split, and the smallest change that each check finds, as text."""

from __future__ import annotations

import math
import textwrap
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agent.figures import percent, span, whole
from agent.web.terminal import cleaned

CHANGES = {"σ": "shift", "sd": "spread", "share": "category"}  # by a sight's unit
NAMED_MAX = 6  # features named in one line; the rest is a count
Line = Mapping[str, Any]


def render_ledger(ledger: Mapping[str, Any], width: int = 100) -> str:
    """One model's ledger, for a terminal of at least 80 columns."""
    clean = cleaned(ledger)
    names = 18 + max(0, min(width, 100) - 80)  # columns for what is named
    blocks = [_head(clean), _split(clean), _sights(clean, names), _blind(clean)]
    told = ("\n".join(line for text in block for line in _folded(text, width)) for block in blocks)
    return "\n\n".join(block for block in told if block) + "\n"


def _folded(text: str, width: int) -> list[str]:
    if len(text) <= width:
        return [text]
    return textwrap.wrap(text, width, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)


def _head(ledger: Mapping[str, Any]) -> Iterator[str]:
    dial, reference = ledger["dial"], ledger["reference"]
    name = " ".join(word for word in (ledger.get("model"), ledger.get("version")) if word)
    parts = [_many(dial["replicas"], "replica"), _many(dial["versions"], "version")]
    if dial.get("segments"):
        parts.append(_many(dial["segments"], "segment test"))
    yield f"{name}: at most {dial['false_alarms_per_day']:g} false alarms a day, over {', '.join(parts)}"
    yield (
        f"windows of {span(ledger['window_seconds'])} with about {whole(ledger['rows_per_window'])} rows; "
        f"reference of {whole(reference['rows'])} rows in {_many(reference['windows'], 'window')}"
    )
    cost = ledger.get("fixed_rule")
    if cost:
        yield (
            f"drift alarms by the fixed threshold {cost['rule']} instead: about {cost['false_alarms_per_day']:.2g} "
            f"false alarms a day over {_many(cost['features'], 'feature')}, outside the dial"
        )


def _split(ledger: Mapping[str, Any]) -> Iterator[str]:
    yield f"{'the dial, split':<44}{'share':>8}{'tests a day':>14}{'p below':>12}"
    idle: list[str] = []
    left = 0.0
    for row in ledger["split"]:
        if not row["tests_per_day"]:
            idle.append(f"{row['check']} ({row['group']})" if row["group"] != "not running" else row["check"])
            left += row["share"]
            continue
        name = f"  {row['check'].replace('_', ' '):<19}{row['group']}"
        yield f"{name:<44}{row['share'] * 100:>6.1f} %{row['tests_per_day']:>14,.0f}{row['alpha']:>12.1e}"
    yield from _horizons(ledger["split"])
    if idle:
        kept = f"{left * 100:.0f} % set aside, idle" if left else "nothing to judge, shares lent to the checks above"
        yield f"  {kept}: {', '.join(idle).replace('_', ' ')}"


def _horizons(split: Sequence[Line]) -> Iterator[str]:
    """Over which windows each share is divided; an agent before this was told says nothing."""
    checks: dict[tuple[int, ...], list[str]] = {}
    for row in split:
        windows = tuple(row.get("windows", ()))
        if row["tests_per_day"] and len(windows) > 1 and row["check"] not in checks.setdefault(windows, []):
            checks[windows].append(row["check"])
    for windows, names in checks.items():
        told = ", ".join(names).replace("_", " ")
        yield f"  over the newest {', '.join(map(str, windows[:-1]))} and {windows[-1]} windows alike: {told}"


def _sights(ledger: Mapping[str, Any], names: int) -> Iterator[str]:
    yield f"{'smallest change found in 4 of 5 cases':<{names + 20}}{'in one window':>17}{'given time':>25}"
    for title, sights in _groups(ledger["sights"]):
        for number, (word, sight) in enumerate(_chosen([s for s in sights if s["seen"]], names)):
            once, later = _within(sight, 1), _within(sight)
            soon = f" in {span(later['seconds'])}" if later and later["windows"] > 1 else ""
            told = f"{_change(sight, later)}{soon}" if later != once else ""
            yield f"  {'' if number else title:<18}{word:<{names}}{_change(sight, once):>17} {told:>24}".rstrip()
    if ledger.get("assumed"):
        yield f"  {ledger['assumed']}"


def _groups(sights: Sequence[Line]) -> Iterator[tuple[str, list[Line]]]:
    """Features alike, in the order in which they matter."""
    found: dict[str, list[Line]] = defaultdict(list)
    for sight in sights:
        output = sight["source"] in ("prediction", "score")
        title = str(sight["check"]).replace("_", " ")
        if sight["check"] == "drift":
            whose = "row" if sight["source"] == "row" else "output" if output else "input"
            title = CHANGES[sight["unit"]] if sight.get("segment") else f"{whose} {CHANGES[sight['unit']]}"
        found[f"segment {title}" if sight.get("segment") else title].append(sight)
    first = [f"{whose} {change}" for whose in ("output", "input", "row") for change in CHANGES.values()]
    order = {title: place for place, title in enumerate(first)}
    last = len(order) + 1
    yield from sorted(found.items(), key=lambda g: last if g[0].startswith("segment") else order.get(g[0], last - 1))


def _chosen(sights: Sequence[Line], names: int) -> Iterator[tuple[str, Line]]:
    """Critical ones and few ones by name; else the best, the median and the worst, or one where they are alike."""
    order = sorted(sights, key=lambda s: (_within(s)["smallest"], str(s["feature"])))
    if len({_change(s, _within(s)) for s in order}) == 1 and len(order) > 1:
        yield f"all {len(order)}", order[0]
    elif len(order) <= 3:
        yield from ((_short(s["feature"], names - 1), s) for s in order)
        return
    else:
        yield f"best: {_short(order[0]['feature'], names - 7)}", order[0]
        yield f"median of {len(order)}", order[len(order) // 2]
        yield f"worst: {_short(order[-1]['feature'], names - 8)}", order[-1]
    yield from ((f"critical: {_short(s['feature'], names - 11)}", s) for s in order if s["critical"])


def _within(sight: Line, windows: float = math.inf) -> Any:
    """The smallest change found within so many windows; of nearly equal ones, the soonest. None: none."""
    fits = [seen for seen in sight["seen"] if seen["windows"] <= windows]
    if not fits:
        return None
    least = min(seen["smallest"] for seen in fits)
    before = 0.0 if sight["unit"] == "σ" else sight["before"]
    return next(seen for seen in fits if seen["smallest"] - before <= 1.05 * (least - before) + 1e-12)


def _change(sight: Line, seen: Line | None) -> str:
    if seen is None:
        return "–"
    if sight["unit"] == "σ":
        return f"{seen['smallest']:.2g} σ"
    if sight["unit"] in ("sd", "ratio"):
        return f"× {seen['smallest']:.3g}{' sd' if sight['unit'] == 'sd' else ''}"
    return f"{percent(sight['before'], brief=True)} → {percent(seen['smallest'], brief=True)}"


def _blind(ledger: Mapping[str, Any]) -> Iterator[str]:
    found: dict[tuple[str, str], dict[str, None]] = defaultdict(dict)  # a number is looked at twice: shift and spread
    for sight in ledger["sights"]:
        if not sight["seen"]:
            found[sight["check"].replace("_", " "), sight["reason"]][_short(sight["feature"])] = None
    if found:
        yield "sees nothing"
    for (check, reason), names in found.items():
        more = f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else ""
        yield f"  {check} of {', '.join([*names][:NAMED_MAX])}{more}: {reason}"


def _short(name: Any, most: int = 20) -> str:
    text = str(name)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _many(count: int, word: str) -> str:
    return f"{whole(count)} {word}" if count == 1 else f"{whole(count)} {word}s"
