"""Which predictions become spans, and what they carry."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.context import Context
from opentelemetry.sdk.trace import sampling
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, set_span_in_context

from agent.config import Otel, Settings
from agent.errors import ConfigurationError
from agent.records import Batch, Columns, Flags, ModelKey, Numbers, Texts
from agent.reference import file as reference_file
from agent.traces.traced import Trace, Traces
from agent.traces.tracing import MINUTE_NS, Allowance, Chosen, Sampler, Tracing, refuse_protected
from tests.end_to_end import stream

MODEL = ModelKey("m", "1")
SDK = {
    "always_on": lambda ratio: sampling.ALWAYS_ON,
    "always_off": lambda ratio: sampling.ALWAYS_OFF,
    "traceidratio": sampling.TraceIdRatioBased,
    "parentbased_always_on": lambda ratio: sampling.DEFAULT_ON,
    "parentbased_always_off": lambda ratio: sampling.DEFAULT_OFF,
    "parentbased_traceidratio": sampling.ParentBasedTraceIdRatio,
}


def trace(row: int, **changes: object) -> Trace:
    values: dict[str, object] = {
        "row": row, "trace_id": bytes([row + 1]) * 16, "parent_id": b"\2" * 8, "flags": 0, "prediction_id": f"p-{row}",
        "start_ns": 5, "latency": 0.01, "error_type": "",
    }  # fmt: skip
    return Trace(**{**values, **changes})  # type: ignore[arg-type] # a test may change any field


def batch(*traces: Trace, **changes: object) -> Batch:
    rows = len(traces)
    made = Batch(MODEL, rows, 7 * MINUTE_NS, Columns(), Columns(), traces=Traces.of(list(traces)))
    return replace(made, **changes)  # type: ignore[arg-type] # a test may change any field


def tracing(sampler: str = "parentbased_always_on", ratio: float = 1.0, **options: object) -> Tracing:
    return Tracing(
        Settings(**options),  # type: ignore[arg-type] # any option
        Otel(traces_sampler=sampler, traces_sampler_arg=ratio),  # type: ignore[arg-type] # one of its names
    )


def why(chosen: Chosen) -> dict[int, str]:
    return {one.row: one.reason for one in chosen.traces}


@given(
    st.lists(st.binary(min_size=16, max_size=16).filter(any), min_size=1, max_size=5), st.integers(0, 255),
    st.sampled_from([0.0, 1e-9, 0.3, 0.5, 1.0]),
)  # fmt: skip
def test_samplers_decide_as_those_of_the_sdk(ids: list[bytes], flags: int, ratio: float) -> None:
    """Over whole batches, what OpenTelemetry's samplers say of each trace: by the caller's flag, or by the trace id."""
    given_traces = [trace(row, trace_id=own, flags=flags) for row, own in enumerate(ids)]
    for name, sdk in SDK.items():
        assert Sampler(name, ratio).keeps(Traces.of(given_traces)).tolist() == [
            _asked(sdk(ratio), one) for one in given_traces
        ]


def _asked(sampler: sampling.Sampler, one: Trace) -> bool:
    number = int.from_bytes(one.trace_id, "big")
    caller = SpanContext(number, int.from_bytes(one.parent_id, "big"), True, TraceFlags(one.flags))
    parent = set_span_in_context(NonRecordingSpan(caller), Context())
    said = sampler.should_sample(parent, number, "predict", SpanKind.INTERNAL)
    return said.decision is sampling.Decision.RECORD_AND_SAMPLE


def test_errors_and_slow_ones_are_always_spans_and_say_why() -> None:
    """Whatever the caller's flag; what the caller asked for is `parent` even where it failed, so that a backend can
    tell a fair sample from the rest."""
    found = tracing().choose(
        batch(
            trace(0), trace(1), trace(2), trace(3, flags=1), trace(4, flags=1),
            errors=np.array([False, True, False, False, True]), latency=np.array([0.1, 0.1, 9.0, 9.0, np.nan]),
        ),
        slow_seconds=1.0,
    )  # fmt: skip
    assert why(found) == {1: "error", 2: "slow", 3: "parent", 4: "parent"}
    assert found.batch.traces.exported is not None
    assert found.batch.traces.exported.tolist() == [False, True, True, True, True]


def test_nothing_is_slow_where_nothing_is_known() -> None:
    """Without a baseline or an objective no latency is too long."""
    assert not tracing().choose(batch(trace(0), latency=np.array([1e6])), slow_seconds=np.inf).traces


def test_a_trace_without_a_parent_makes_no_span() -> None:
    """An all-zero parent id is no context, even of an error."""
    found = tracing("always_on").choose(batch(trace(0, parent_id=bytes(8)), errors=np.array([True])), np.inf)
    assert not found.traces


def test_each_reason_has_its_own_limit_a_minute() -> None:
    """A storm of errors takes no room from what callers asked for, nor from slow ones; what was too much is counted,
    and the next minute begins anew."""
    desk = tracing(trace_limit_per_minute=2, trace_always_per_minute=1)
    many = batch(
        *(trace(row, flags=row % 2) for row in range(8)),
        errors=np.array([True] * 6 + [False] * 2), latency=np.array([0.0] * 6 + [9.0] * 2),
    )  # fmt: skip
    first = desk.choose(many, 1.0)
    # What callers asked for and got no room may yet be there for being an error or slow.
    assert sorted(why(first).values()) == ["error", "parent", "parent", "slow"]
    assert first.dropped == {"spans_dropped:parent": 2, "spans_dropped:error": 3, "spans_dropped:slow": 1}
    assert not desk.choose(many, 1.0).traces
    assert len(desk.choose(replace(many, arrived_ns=8 * MINUTE_NS), 1.0).traces) == 4


def test_the_allowance_goes_on_after_a_restart() -> None:
    """Stored with the checkpoint: a replay allows what was allowed."""
    before = Allowance()
    assert before.take("error", 7 * MINUTE_NS, 5, 6) == 5
    after = Allowance.of(before.to_json())
    assert after.take("error", 7 * MINUTE_NS + 1, 5, 6) == 1


def test_only_named_features_have_values() -> None:
    """Present numbers, texts and flags of those named; no null, no vector, no protected attribute, no segment."""
    columns = Columns(
        {"age": Numbers(np.array([41.0, 17.0])), "income": Numbers(np.array([1.0, 2.0])),
         "gap": Numbers(np.zeros(2), np.array([1, 1], np.uint8)), "gender": Numbers(np.zeros(2)),
         "race": Numbers(np.zeros(2))},
        {"city": Texts(("rome", "oslo"), np.array([1, 0], np.int32))}, {"member": Flags(np.array([True, False]))},
    )  # fmt: skip
    named = ("age", "city", "member", "gap", "gender", "race", "nowhere", "region")
    secret = {"gender": Texts(("f",), np.zeros(2, np.int32))}
    given_batch = batch(
        trace(0, flags=1), trace(1, flags=1), features=columns, protected=secret,
        segments={"region": Texts(("north",), np.zeros(2, np.int32))},
    )  # fmt: skip
    found = tracing(trace_features=named).choose(given_batch, np.inf, protected=("race",))
    assert [one.values for one in found.traces] == [
        (("age", 41.0), ("city", "oslo"), ("member", True)), (("age", 17.0), ("city", "rome"), ("member", False)),
    ]  # fmt: skip
    assert tracing().choose(given_batch, np.inf).traces[0].values == ()


def test_a_protected_feature_stops_the_start(tmp_path: Path) -> None:
    """The error names option and feature, in a file and in a folder of references; others pass."""
    made = stream.reference(tmp_path / "loan.sidelight")
    secret = replace(made, protected=("city",))
    (tmp_path / "all" / "loan").mkdir(parents=True)
    reference_file.write(secret, tmp_path / "all" / "loan" / "3.sidelight")
    for place in (tmp_path / "all", tmp_path / "all" / "loan" / "3.sidelight"):
        with pytest.raises(ConfigurationError, match=r"SIDELIGHT_TRACE_FEATURES=x0,city.*protects city"):
            refuse_protected(Settings(reference=str(place), trace_features=("x0", "city")))
        refuse_protected(Settings(reference=str(place), trace_features=("x0",)))
    refuse_protected(Settings(reference=str(tmp_path / "gone"), trace_features=("city",)))


def test_exemplars_are_of_exported_spans_the_newest_of_each_bucket() -> None:
    """Two latencies of one bucket leave the later; an unknown latency none; a forgotten model nothing."""
    desk = tracing()
    seconds = (1.0, 1.0, 8.0, np.nan)
    desk.exported(MODEL, [trace(row, latency=latency) for row, latency in enumerate(seconds)])
    found = desk.exemplars(MODEL)
    assert sorted((one.value, one.trace_id) for one in found.values()) == [(1.0, b"\2" * 16), (8.0, b"\3" * 16)]
    assert desk.exemplars(ModelKey("other")) == {}
    desk.forget(MODEL)
    assert desk.exemplars(MODEL) == {}


def test_who_wants_no_exemplars_gets_none() -> None:
    """OTEL_METRICS_EXEMPLAR_FILTER=always_off."""
    desk = Tracing(Settings(), Otel(metrics_exemplar_filter="always_off"))
    desk.exported(MODEL, [trace(0, latency=1.0)])
    assert desk.exemplars(MODEL) == {}
