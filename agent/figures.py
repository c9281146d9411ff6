"""Figures as people read them: counts, shares, times, bars; `–` for what is none."""

from __future__ import annotations

import math
from typing import Any


def bar(effect: float, cells: int = 16) -> str:
    """Drift as a bar, on a square-root scale that is full at 0.5.

    >>> bar(0.125, 8)
    '████░░░░'
    """
    filled = min(cells, max(1, round(cells * math.sqrt(max(0.0, effect) / 0.5))))
    return "█" * filled + "░" * (cells - filled)


def whole(value: Any) -> str:
    """1234 -> `1,234`; `–` for what is no number."""
    return f"{value:,.0f}" if known(value) else "–"


def rate(value: Any) -> str:
    """A few a second with a decimal, many without."""
    return "–" if not known(value) else f"{value:.1f}" if 0 < value < 10 else f"{value:,.0f}"


def share(value: Any) -> str:
    """A ratio 0-1 in per cent, `–` for what is no number."""
    return percent(value) if known(value) else "–"


def percent(share: float, brief: bool = False) -> str:
    """A share 0-1 for people. brief: for columns.

    >>> [percent(share) for share in (0.0042, 0.12, 0.9999, 0.0, 2e-7)]
    ['0.42 %', '12.0 %', '100 %', '0.0 %', 'under 0.001 %']
    >>> [percent(share, brief=True) for share in (0.0042, 0.12, 2e-7)]
    ['0.42 %', '12 %', '0 %']
    """
    if share >= 0.9995:
        return "100 %"
    if brief and (share < 5e-5 or share >= 0.0995):
        return f"{share * 100:.0f} %"
    if 0.0 < share < 1e-5:
        return "under 0.001 %"
    return f"{share * 100:.1f} %" if share >= 0.0995 or share == 0.0 else f"{share * 100:.2g} %"


def took(seconds: Any) -> str:
    """0.0042 -> `4.2 ms`."""
    if not known(seconds):
        return "–"
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1e3:.3g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.0f} µs"


def span(seconds: Any) -> str:
    """84180 -> `23 h`."""
    if not known(seconds):
        return "–"
    for limit, unit, word in ((90, 1, "s"), (5400, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.0f} {word}"
    return f"{seconds / 86_400:.0f} days"


def figure(value: Any, unit: str) -> str:
    """A value in its unit: share, seconds, text, or a number with three digits.

    >>> figure(0.914, "share"), figure(12345.6, "number"), figure(-0.01234, "number"), figure("keep", "text")
    ('91.4 %', '12,346', '-0.0123', 'keep')
    """
    if unit == "text":
        return str(value)
    if not known(value):
        return "–"
    if unit == "seconds":
        return took(value)
    if unit == "share":
        return percent(value) if value >= 0 else f"-{percent(-value)}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def known(value: Any) -> bool:
    """A finite number, and no flag."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def number(value: Any) -> float:
    """0 for what is no number."""
    return float(value) if known(value) else 0.0
