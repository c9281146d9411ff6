"""/metrics for those who scrape: the points as Prometheus' text format has them, under the names that its OTLP receiver
gives them, so that one dashboard reads both.

The text format knows no exponential histograms. Their buckets are added up at fixed bounds, half powers of two, so that
a scrape has the same ones as the last; with `convert_classic_histograms_to_nhcb` Prometheus keeps them under the name
that the native ones have.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from agent.clock import Clock
from agent.telemetry import Exponential, Metric, Point, Shape
from agent.web.server import Response

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SLICE_SECONDS = 0.002
FRESH_SECONDS = 1.0
"""However many scrape: the points are put together once in so long."""
BOUNDS = range(-40, 25)
"""Of histograms, in half powers of two: a microsecond to 4,096 seconds."""
IDENTITY = frozenset({"service.name", "service.namespace", "service.instance.id"})
"""What the scrape's own job and instance stand for."""
TYPES = {Shape.COUNTER: "counter", Shape.GAUGE: "gauge", Shape.HISTOGRAM: "histogram"}
LABELS_MAX = 20_000

Value = str | int | float | bool


class Exposition:
    """The page, put together when it is asked for, in slices; scrapes that come at once share one.

    points: gives them anew, lazily. resource: who speaks; becomes target_info.
    """

    def __init__(self, clock: Clock, points: Callable[[], Iterable[Point]], resource: Mapping[str, Value]) -> None:
        self._clock, self._points = clock, points
        self._resource = {key: value for key, value in resource.items() if key not in IDENTITY}
        self._lock = asyncio.Lock()
        self._made, self._body = float("-inf"), b""

    async def page(self) -> Response:
        async with self._lock:
            if self._clock.monotonic() - self._made >= FRESH_SECONDS:
                self._body = await self._put_together()
                self._made = self._clock.monotonic()
        return Response(200, CONTENT_TYPE, self._body)

    async def _put_together(self) -> bytes:
        families = Families()
        held = self._clock.monotonic()
        for point in self._points():
            families.add(point)
            if self._clock.monotonic() - held > SLICE_SECONDS:
                await asyncio.sleep(0)
                held = self._clock.monotonic()
        parts = []
        for family in families.text():
            parts.append(family)
            if self._clock.monotonic() - held > SLICE_SECONDS:
                await asyncio.sleep(0)
                held = self._clock.monotonic()
        return "".join([*parts, target_info(self._resource)]).encode()


class Families:
    """Lines by metric: the format wants those of one metric together."""

    def __init__(self) -> None:
        self._lines: dict[str, tuple[Metric, list[str]]] = {}
        self._labels: dict[tuple[str, Value, type], str] = {}  # the type because 1 and True are equal
        self._names: dict[str, str] = {}

    def add(self, point: Point) -> None:
        """NaN is left out, as it is over OTLP."""
        metric, value = point.metric, point.value
        found = self._lines.get(metric.name)
        if found is None:
            found = self._lines[metric.name] = metric, []
            self._names[metric.name] = metric.in_prometheus
        name, labels = self._names[metric.name], ",".join(self._label(*each) for each in point.attributes.items())
        if isinstance(value, Exponential):
            found[1].extend(_histogram(name, labels, value))
        elif value == value:
            found[1].append(f"{name}{{{labels}}} {number(value)}\n" if labels else f"{name} {number(value)}\n")

    def text(self) -> Iterator[str]:
        """A part for each metric that has points."""
        for metric, lines in self._lines.values():
            name = self._names[metric.name]
            if lines:
                head = f"# HELP {name} {_help(metric.description)}\n# TYPE {name} {TYPES[metric.shape]}\n"
                yield head + "".join(lines)

    def _label(self, key: str, value: Value) -> str:
        known = self._labels.get((key, value, value.__class__))
        if known is None:
            if len(self._labels) >= LABELS_MAX:
                self._labels.clear()
            known = self._labels[key, value, value.__class__] = f'{label(key)}="{_escaped(value)}"'
        return known


def label(key: str) -> str:
    """An attribute's name as the OTLP receiver has it.

    >>> label("sidelight.model.name")
    'sidelight_model_name'
    """
    return re.sub(r"[^a-zA-Z0-9_]", "_", key)


def number(value: float) -> str:
    """As Prometheus reads it.

    >>> number(3), number(0.5), number(float("inf")), number(float("-inf"))
    ('3', '0.5', '+Inf', '-Inf')
    """
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    return str(value)


def target_info(resource: Mapping[str, Value]) -> str:
    """The resource, without what the scrape itself says; nothing where nothing is left."""
    labels = ",".join(f'{label(key)}="{_escaped(value)}"' for key, value in sorted(resource.items()))
    head = "# HELP target_info Target metadata\n# TYPE target_info gauge\n"
    return f"{head}target_info{{{labels}}} 1\n" if labels else ""


def _histogram(name: str, labels: str, value: Exponential) -> Iterator[str]:
    """A classic histogram: how many lie at or below each bound. The buckets' scale is 1 or finer."""
    before = f"{labels}," if labels else ""
    own = f"{{{labels}}}" if labels else ""
    below, i = value.count - sum(value.buckets), 0  # negative ones and zeros lie below every bound
    for half in BOUNDS:
        end = half * (1 << value.scale) // 2 - value.offset
        while i < min(end, len(value.buckets)):
            below += int(value.buckets[i])
            i += 1
        yield f'{name}_bucket{{{before}le="{number(2.0 ** (half / 2))}"}} {below}\n'
    yield f'{name}_bucket{{{before}le="+Inf"}} {value.count}\n'
    yield f"{name}_sum{own} {number(float(value.sum))}\n"
    yield f"{name}_count{own} {value.count}\n"


def _escaped(value: Value) -> str:
    shown = str(value).lower() if isinstance(value, bool) else str(value)
    return shown.encode(errors="replace").decode().replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _help(words: str) -> str:
    return words.replace("\\", "\\\\").replace("\n", "\\n")
