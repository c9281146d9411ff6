"""What docs/calibration.md says of concept drift."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from calibration.concept import (
    AFTER,
    GENERATED,
    NULLS,
    REFERENCE,
    TRIALS,
    USED_HOURS,
    USED_REFERENCES,
    WINDOW,
    WINDOWS_TO_FALSE,
)

HEAD = """## Concept drift

The detector of errors (`agent/concept`, docs/decisions/0128) looks once a window. At the default dial and windows of an
hour its threshold is A = {asked:,.0f}: at most one false alarm in as many hours. How much of that is used, on
{references:,} references drawn anew, {hours:,} hours each; 1 is all that is allowed:
"""
RIVER = """### Beside river, on the same streams

Streams of errors, 0 or 1, one label after another; the first {reference:,} are the labelled reference (for river's
detectors, which have none, a warm-up). Ours sees hours of {window} labels and can only speak at their ends. river
{version} tuned: the loosest of up to five settings that never alarmed in {null:,} labels of the first kind (our dial
allows an alarm in {own:,.0f}); in brackets at its defaults. Alarms in 100,000 labels in which nothing changed:
"""
DELAYS = """
Labels until the change is found, the median of {trials} streams (river at its defaults in brackets); in how many of
them, where not in all; {after:,} labels after the change:
"""
GENERATORS = """
SEA and the hyperplane are river's own generators, judged by river's logistic regression trained on 5,000 rows of the
first concept and frozen. KSWIN, at 0.6 to 0.9 ms a label, was tried on 10,000 labels of nulls and on 2 streams of each
change, 5,000 labels long. CPU a label: {costs}.
"""


def text(figures: Mapping[str, Any]) -> str:
    """The section."""
    parts = [
        HEAD.format(asked=WINDOWS_TO_FALSE, references=USED_REFERENCES, hours=USED_HOURS),
        _table(
            ("errors", "labels an hour", "hours of the reference", "hours differ by", "used of what is allowed"),
            [(row["name"], f"{row['labels']:,}", str(row["blocks"]),
              f"± {row['effect'] * 100:g} points" if row["effect"] else "chance",
              f"{row['used']:.2g} ± {row['error']:.1g}") for row in figures["used"]],
        ),
    ]  # fmt: skip
    if not figures["river"]:
        return "\n".join([*parts, "river could not be installed where this ran.\n"])
    ours, first, river = figures["ours"], NULLS[0].name, figures["river"]["rules"]
    labels = ours["nulls"][first][1]
    parts.append(RIVER.format(
        reference=REFERENCE, window=WINDOW, version=figures["river"]["version"], null=labels,
        own=WINDOWS_TO_FALSE * WINDOW,
    ))  # fmt: skip
    head = ("nothing changes", "ours", *(_named(rule, each) for rule, each in river.items()))
    parts.append(_table(head, [
        (null.name, _rate(ours["nulls"][null.name]),
         *(_both(each, "nulls", null.name, _rate) for each in river.values()))
        for null in NULLS
    ]))  # fmt: skip
    parts.append(DELAYS.format(trials=TRIALS, after=AFTER))
    parts.append(_table(("change", "ours", *river), [
        (GENERATED.get(name, name), _delay(ours["delays"][name]),
         *(_both(each, "delays", name, _delay) for each in river.values()))
        for name in ours["delays"]
    ]))  # fmt: skip
    costs = {"ours": ours["ns"], **{rule: each["default"]["ns"] for rule, each in river.items()}}
    parts.append(GENERATORS.format(costs=", ".join(f"{rule} {ns / 1000:,.1f} µs" for rule, ns in costs.items())))
    return "\n".join(parts)


def _named(rule: str, figures: Mapping[str, Any]) -> str:
    """A rule with its settings, tuned and by default."""
    tuned, default = (figures[which]["setting"] for which in ("tuned", "default"))
    return f"{rule}, {tuned} ({default})" if tuned != default else f"{rule}, {default}"


def _both(figures: Mapping[str, Any], kind: str, name: str, said: Callable[[Sequence[int]], str]) -> str:
    """Tuned, and in brackets by default, where that is another setting."""
    tuned, default = (figures[which] for which in ("tuned", "default"))
    told = said(tuned[kind][name])
    return told if tuned["setting"] == default["setting"] else f"{told} ({said(default[kind][name])})"


def _rate(counted: Sequence[int]) -> str:
    """Alarms in 100,000 labels."""
    alarms, labels = counted
    return f"{alarms * 100_000 / labels:.3g}"


def _delay(delays: Sequence[int]) -> str:
    """Median, of those not found as later than all; the share that was found."""
    found = sum(delay > 0 for delay in delays)
    middle = statistics.median(delay if delay > 0 else float("inf") for delay in delays)
    said = f"{middle:,.0f}" if middle < float("inf") else f"> {AFTER:,}"
    return said if found == len(delays) else f"{said}, {found / len(delays):.0%}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"
