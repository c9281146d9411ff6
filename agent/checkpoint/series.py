"""A series as bytes, and back, with the reference and the closed windows that belong to it."""

from __future__ import annotations

import contextlib
import logging
import math
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from google.protobuf.message import DecodeError

from agent.checkpoint.meta import series_id
from agent.checkpoint.windows import dump_window, ints, load_closed, load_window
from agent.counting import durations
from agent.counting.coverage import Coverage
from agent.counting.fingerprints import Sample
from agent.counting.windows import RefusalNote, Series
from agent.errors import CorruptError, UnavailableError
from agent.records import ModelKey, Role, Source, Task
from agent.reference import file as reference_file
from agent.reference import learn_state
from agent.reference.learn import ORIGIN as LEARNED
from agent.reference.profile import Reference
from agent.reference.traffic import NO_SCHEMA
from agent.sketches.quantiles import Quantiles
from agent.state import get, keys
from agent.wire import state_pb2 as state

log = logging.getLogger("sidelight.checkpoint")
COUNTER_MAX = (1 << 64) - 1
Choose = Callable[[ModelKey], tuple[Reference | None, str]]


def load_series(
    db: sqlite3.Connection, choose: Choose, make: Callable[[ModelKey, Reference | None, str], Series]
) -> tuple[list[Series], int]:
    """All stored series, and how many blobs were corrupt and left out."""
    found, corrupt = [], 0
    for key in keys(db, "series/"):
        name = key.removeprefix("series/")
        try:
            blob = get(db, key)
            message = state.Series.FromString(blob or b"")
            learned = get(db, f"reference/{name}")
            found.append(_restore(db, name, message, learned, choose, make))
        except (CorruptError, DecodeError, ValueError) as error:
            corrupt += 1
            log.warning("state_blob_set_aside key=%s error=%s", key, error)
            for stale in (key, f"reference/{name}", *keys(db, f"closed/{name}/")):
                db.execute("UPDATE OR REPLACE blob SET key = 'corrupt/' || key WHERE key = ?", (stale,))
    return found, corrupt


def _restore(
    db: sqlite3.Connection,
    name: str,
    message: state.Series,
    stored: bytes | None,
    choose: Choose,
    make: Callable[[ModelKey, Reference | None, str], Series],
) -> Series:
    """A reference that is given now wins over the stored one; one that cannot be read now does not cost the stored."""
    key = ModelKey(message.model, message.version, Role(message.role), message.deployment, message.tenant)
    if series_id(key) != name:  # the checksum covers the blob, not the key it lies under
        raise CorruptError(f"series {name} holds another one")
    reference, note = choose(key)
    if reference is None and stored:
        reference, note = reference_file.decode(stored), message.reference_note
    one = make(key, reference, note)
    _restore_totals(one, message)
    if one.window_ns == message.window_nanos:  # also under another reference what is closed stays closed
        one.closed_below, one.last_rows = message.closed_below, message.last_rows
        one.last_traced = message.last_traced
    if one.window_ns != message.window_nanos or (reference.hash if reference else 0) != message.reference_hash:
        log.warning("counts_dropped model=%r version=%r: other reference or window length", key.name, key.version)
        return one
    one.total, one.bins_since_ns = ints(message.total, one.total.size), message.bins_since_unix_nano
    for sample in message.samples:
        if sample.kind not in one.samples:
            raise CorruptError(f"series {name} holds a sample of another kind")
        both = one.samples[sample.kind]
        both.before, both.now = both.now, _sample(sample)
    for window in message.open:
        one.open[window.index] = load_window(window, None if reference is None else reference.layout.cells)
    for key_ in keys(db, f"closed/{name}/"):
        try:
            one.recent.append(load_closed(state.Window.FromString(get(db, key_) or b""), one.total.size))
        except (CorruptError, DecodeError) as error:
            log.warning("state_blob_dropped key=%s error=%s", key_, error)
    segments = sum(len(w.segments) for w in one.open.values()) + sum(len(c.segments) for c in one.recent)
    one.segments.take_back(segments)
    for sketch_key, blob in message.kll.items():
        source, _, feature = sketch_key.partition("/")
        one.numbers.open[(Source(int(source)), feature)] = Quantiles.from_bytes(blob)
    if message.learner and reference is None:
        one.learner = learn_state.decode(message.learner, one.learner.state.schema if one.learner else NO_SCHEMA)
    return one


def _restore_totals(one: Series, message: state.Series) -> None:
    """What does not depend on bins and windows."""
    one.counters = Counter({k: int(v) for k, v in message.counters.values.items()})
    one.last_seen_ns, one.newest_ns = message.last_seen_unix_nano, message.newest_unix_nano
    one.started_ns = message.started_unix_nano
    one.bins_since_ns = message.last_seen_unix_nano
    one.trained_at_ns = message.trained_at_unix_nano or one.trained_at_ns
    one.positive_label = message.positive_label or one.positive_label
    one.task = Task(message.task) if message.task in set(Task) and message.task else one.task
    one.threshold = message.threshold if message.HasField("threshold") else math.nan
    one.coverage = Coverage.of((gap.from_unix_nano, gap.to_unix_nano) for gap in message.gaps)
    one.latency, one.latency_sum = ints(message.latency, durations.BUCKETS), message.latency_sum
    one.refusals = {(r.reason, r.field): RefusalNote(r.count, r.detail, r.last_unix_nano) for r in message.refusals}


def dump(one: Series) -> bytes:
    """A series without its closed windows, which are blobs of their own."""
    return state.Series(
        model=one.key.name,
        version=one.key.version,
        role=int(one.key.role),
        deployment=one.key.deployment,
        tenant=one.key.tenant,
        reference_hash=one.reference.hash if one.reference else 0,
        open=[dump_window(w) for w in one.open.values()],
        counters=state.Counters(values={name: min(max(0, n), COUNTER_MAX) for name, n in one.counters.items()}),
        learner=learn_state.encode(one.learner) if one.learner else b"",
        last_seen_unix_nano=one.last_seen_ns,
        newest_unix_nano=one.newest_ns,
        closed_below=one.closed_below,
        last_rows=one.last_rows,
        last_traced=one.last_traced,
        started_unix_nano=one.started_ns,
        trained_at_unix_nano=one.trained_at_ns,
        window_nanos=one.window_ns,
        reference_note=one.reference_note,
        positive_label=one.positive_label,
        task=int(one.task),
        threshold=None if math.isnan(one.threshold) else one.threshold,
        bins_since_unix_nano=one.bins_since_ns,
        latency=one.latency.astype("<i8").tobytes(),
        latency_sum=one.latency_sum,
        refusals=[
            state.Refusal(reason=reason, field=name, count=note.count, detail=note.detail, last_unix_nano=note.last_ns)
            for (reason, name), note in one.refusals.items()
        ],
        total=one.total.astype("<i8").tobytes(),
        samples=[_dump_sample(kind, s) for kind, both in one.samples.items() for s in (both.before, both.now) if s],
        gaps=[state.Gap(from_unix_nano=start, to_unix_nano=end) for start, end in one.coverage.gaps],
        kll={f"{int(source)}/{name}": sketch.to_bytes() for (source, name), sketch in one.numbers.open.items()},
    ).SerializeToString()


def _dump_sample(kind: str, sample: Sample) -> state.Sample:
    return state.Sample(
        kind=kind,
        index=sample.index,
        highest=sample.limit - 1,
        fingerprints=np.fromiter(sample.kept.keys(), dtype="<u8", count=len(sample.kept)).tobytes(),
        rows=np.fromiter(sample.kept.values(), dtype="<i8", count=len(sample.kept)).tobytes(),
    )


def _sample(message: state.Sample) -> Sample:
    keys, rows = np.frombuffer(message.fingerprints, dtype="<u8"), np.frombuffer(message.rows, dtype="<i8")
    if len(keys) != len(rows):
        raise CorruptError(f"{len(keys)} fingerprints, {len(rows)} counts")
    return Sample(message.index, message.highest + 1, Counter(dict(zip(keys.tolist(), rows.tolist(), strict=True))))


def learned_references(path: Path) -> list[Reference]:
    """Every learned reference in a state file, read beside a running agent. Raises UnavailableError where there is no
    file."""
    if not path.exists():
        raise UnavailableError(f"no state at {path}: is SIDELIGHT_STATE_DIR the agent's?")
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        blobs = [get(db, key) for key in keys(db, "reference/")]
    found = [reference_file.decode(blob) for blob in blobs if blob is not None]
    return list({r.hash: r for r in found if r.origin == LEARNED}.values())  # once, whoever else borrows it
