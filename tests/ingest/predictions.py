"""The same predictions as rows and as columns, for laws that hold the two forms together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from agent.wire import columns_pb2, recorder_pb2, rows_pb2

NULL = object()


@dataclass(frozen=True)
class Prediction:
    """features: name -> float, str, bool or NULL; absent keys are left out."""

    features: Mapping[str, Any] = field(default_factory=dict)
    value: float | None = None
    score: float | None = None
    latency: float | None = None
    failed: bool = False
    region: str | None = None
    time_ns: int = 0


def _special() -> st.SearchStrategy[Any]:
    numbers = st.one_of(
        st.floats(), st.sampled_from([0.0, -0.0, 1.0, 2.0, 5.0, 0.5, float("nan"), float("inf"), float("-inf"), 1e308])
    )
    return st.one_of(numbers, st.sampled_from(["x", "ü", "", "z", "日本"]), st.booleans(), st.just(NULL))


def predictions(extra: Sequence[str] = ()) -> st.SearchStrategy[Prediction]:
    return st.builds(
        Prediction,
        features=st.dictionaries(st.sampled_from(["a", "b", "t", "f", *extra]), _special(), max_size=6),
        value=st.none() | st.floats(),
        score=st.none() | st.floats(allow_nan=False),
        latency=st.none() | st.floats(),
        failed=st.booleans(),
        region=st.none() | st.sampled_from(["eu", "us", ""]),
    )


def _status(p: Prediction) -> rows_pb2.Status:
    return rows_pb2.STATUS_ERROR if p.failed else rows_pb2.STATUS_OK


def as_row(p: Prediction) -> rows_pb2.Row:
    found = rows_pb2.Row(status=_status(p), time_unix_nano=p.time_ns)
    for name, value in p.features.items():
        if value is NULL:
            found.nulls.append(name)
        elif isinstance(value, bool):
            found.flags[name] = value
        elif isinstance(value, str):
            found.texts[name] = value
        else:
            found.numbers[name] = value
    if p.value is not None:
        found.outputs.add(value=p.value)
    if p.score is not None:
        (found.outputs[0] if found.outputs else found.outputs.add()).scores[""] = p.score
    if p.latency is not None:
        found.latency_seconds = p.latency
    if p.region is not None:
        found.segments["region"] = p.region
    return found


def _bitmap(bits: Iterable[bool]) -> bytes:
    listed = list(bits)
    if not any(listed):
        return b""
    packed = bytearray((len(listed) + 7) // 8)
    for i, bit in enumerate(listed):
        packed[i // 8] |= bit << (i % 8)
    return bytes(packed)


def _typed(values: Sequence[Any], kind: type) -> list[bool]:
    return [isinstance(v, kind) and not (kind is float and isinstance(v, bool)) for v in values]


def text_column(column: columns_pb2.TextColumn, values: Sequence[Any], nulls: Sequence[bool]) -> None:
    """Strings as dictionary and codes; what is no string is absent, or null where `nulls` says so."""
    index: dict[str, int] = {}
    column.codes.extend(index.setdefault(v, len(index)) if isinstance(v, str) else 0 for v in values)
    column.dictionary.extend(index)
    column.nulls = _bitmap(nulls)
    column.absents = _bitmap(not isinstance(v, str) and not null for v, null in zip(values, nulls, strict=True))


def as_columns(message: recorder_pb2.RecordRequest, many: Sequence[Prediction]) -> recorder_pb2.RecordRequest:
    c, rows = message.columns, len(many)
    c.rows = rows
    for name in sorted({name for p in many for name in p.features}):
        values = [p.features.get(name) for p in many]
        nulls = [v is NULL for v in values]
        kinds = [kind for kind in (float, str, bool) if any(_typed(values, kind))] or [float]
        for at, kind in enumerate(kinds):
            own = _typed(values, kind)
            said = nulls if at == 0 else [False] * rows  # a null is said once
            if kind is str:
                text_column(c.texts.add(name=name), [v if o else None for v, o in zip(values, own, strict=True)], said)
                continue
            absents = _bitmap(not o and not n for o, n in zip(own, said, strict=True))
            if kind is bool:
                c.flags.add(name=name, values=[v is True for v in values], nulls=_bitmap(said), absents=absents)
            else:
                c.numbers.add(
                    name=name,
                    values=[v if o else 0.0 for v, o in zip(values, own, strict=True)],
                    nulls=_bitmap(said),
                    absents=absents,
                )
    _outputs(c, many)
    if any(p.latency is not None for p in many):
        c.latency_seconds.extend(float("nan") if p.latency is None else p.latency for p in many)
    if any(p.failed for p in many):
        c.status.extend(_status(p) for p in many)
    if any(p.region is not None for p in many):
        text_column(c.segments.add(name="region"), [p.region for p in many], [False] * rows)
    if any(p.time_ns for p in many):
        c.time_unix_nano.extend(p.time_ns for p in many)
    return message


def _outputs(c: columns_pb2.Columns, many: Sequence[Prediction]) -> None:
    if any(p.value is not None for p in many):
        output = c.outputs.add()
        output.values.values.extend(0.0 if p.value is None else p.value for p in many)
        output.values.absents = _bitmap(p.value is None for p in many)
    if any(p.score is not None for p in many):
        output = c.outputs[0] if c.outputs else c.outputs.add()
        output.scores.add(values=[float("nan") if p.score is None else p.score for p in many])
