"""The metrics a backend took, as their newest points: what a dashboard would show at the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.end_to_end.backends import attributes, metrics
from tests.export.backend import Backend


class Points:
    """The newest point of every series, by metric and attributes."""

    def __init__(self, backend: Backend) -> None:
        self._held: dict[str, dict[frozenset[tuple[str, Any]], Any]] = {}
        for _, metric in metrics(backend):
            held = self._held.setdefault(metric.name, {})
            for point in getattr(metric, metric.WhichOneof("data")).data_points:
                held[frozenset(attributes(point.attributes).items())] = point

    def point(self, metric: str, about: Mapping[str, Any]) -> Any:
        """Of the series with these attributes and no others; keys without their `sidelight.`."""
        return self._held[metric][frozenset((f"sidelight.{key}", value) for key, value in about.items())]

    def number(self, metric: str, about: Mapping[str, Any]) -> float:
        point = self.point(metric, about)
        return float(getattr(point, point.WhichOneof("value")))

    def by(self, metric: str, key: str, about: Mapping[str, Any]) -> dict[str, float]:
        """value of `key` -> number, of all series that have these attributes besides and no others."""
        rest = {(f"sidelight.{name}", value) for name, value in about.items()}
        found = {}
        for series, point in self._held[metric].items():
            own = dict(series - rest)
            if rest <= series and own.keys() == {f"sidelight.{key}"}:
                found[own[f"sidelight.{key}"]] = float(getattr(point, point.WhichOneof("value")))
        return found
