"""What survives a crash: series, clients and alerts as blobs of one transaction, under the offset they were counted
to."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import xxhash
from google.protobuf.message import DecodeError

from agent.counting import durations
from agent.counting.coverage import Coverage
from agent.counting.fingerprints import Sample
from agent.counting.segments import narrowed
from agent.counting.texts import TextSketch, WindowTexts
from agent.counting.windows import RefusalNote, Series, Window
from agent.errors import CorruptError, UnavailableError
from agent.followers import Followers
from agent.records import Cells, Closed, Ints, ModelKey, Role, Source, Task, TextsSeen
from agent.reference import file as reference_file
from agent.reference import learn_state
from agent.reference.learn import ORIGIN as LEARNED
from agent.reference.profile import Reference
from agent.sketches.distinct import Distinct
from agent.sketches.quantiles import Quantiles
from agent.state import delete, get, keys, put
from agent.traces.examples import Examples
from agent.volume.duplicates import Repeats
from agent.volume.traffic import Traffic
from agent.wire import state_pb2 as state

log = logging.getLogger("sidelight.checkpoint")
FORMAT = 1
COUNTER_MAX = (1 << 64) - 1
Choose = Callable[[ModelKey], tuple[Reference | None, str]]


@dataclass(slots=True)
class Meta:
    """Everything that is not per series. offset: frames up to this one are counted in the blobs.

    baselines: series id -> latency baseline, base64. retired: ids of versions that were silent for long.
    resting: ids of those that others took over from. spans: how many this minute had.
    """

    offset: int = 0
    baselines: dict[str, str] = field(default_factory=dict)
    retired: frozenset[str] = frozenset()
    resting: frozenset[str] = frozenset()
    spans: dict[str, int] = field(default_factory=dict)

    def pack(self) -> bytes:
        told = {
            "format": FORMAT, "offset": self.offset, "baselines": self.baselines, "retired": sorted(self.retired),
            "resting": sorted(self.resting), "spans": self.spans,
        }  # fmt: skip
        return json.dumps(told).encode()

    @classmethod
    def unpack(cls, blob: bytes) -> Meta:
        try:
            found = json.loads(blob)
            if found["format"] != FORMAT:
                raise CorruptError(f"checkpoint format {found['format']}, expected {FORMAT}")
            offset, baselines = found["offset"], found["baselines"]
            sound = type(offset) is int and offset >= 0 and isinstance(baselines, dict)
            retired, resting = found.get("retired", []), found.get("resting", [])  # those before had none
            for names in (retired, resting):
                sound = sound and isinstance(names, list) and all(isinstance(name, str) for name in names)
            spans = found.get("spans", {})
            sound = sound and isinstance(spans, dict) and all(type(count) is int for count in spans.values())
            if not sound or not all(isinstance(value, str) for value in baselines.values()):
                raise CorruptError("checkpoint meta: wrong types")
            return cls(offset, baselines, frozenset(retired), frozenset(resting), spans)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise CorruptError(f"checkpoint meta: {type(error).__name__}") from error


def series_id(key: ModelKey) -> str:
    """Sixteen hex digits, stable over restarts."""
    identity = repr((key.name, key.version, int(key.role), key.deployment, key.tenant))
    return xxhash.xxh3_64_hexdigest(identity.encode())


def model_id(key: ModelKey, window_ns: int) -> str:
    """Of a model whatever its version, by the length of its windows."""
    return f"{series_id(replace(key, version=''))}-{window_ns}"


def shared_id(model: str) -> str:
    """Of all versions of a model of that name."""
    return f"all-{xxhash.xxh3_64_hexdigest(model.encode())}"


@dataclass(slots=True)
class Plan:
    """One checkpoint's writing. kept: by series, the closed windows that stay; gone: series that are forgotten.
    models, shared: whose traffic is still known, who is still followed as a whole; None: all."""

    puts: list[tuple[str, bytes]] = field(default_factory=list)
    models: set[str] | None = None
    shared: set[str] | None = None
    kept: dict[str, set[str]] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.puts or self.kept or self.gone)

    def write(self, db: sqlite3.Connection) -> None:
        """In the caller's transaction. What is to be deleted is read off the store itself: nothing is left behind."""
        for name in self.gone:
            several = [*keys(db, f"closed/{name}/"), *keys(db, f"follower/{name}/")]
            for key in (f"series/{name}", f"reference/{name}", f"repeats/{name}", *several):
                delete(db, key)
        if self.models is not None:
            for key in keys(db, "traffic/"):
                if key not in self.models:
                    delete(db, key)
        if self.shared is not None:
            for key in keys(db, "follower/all-"):
                if key.rpartition("/")[0] + "/" not in self.shared:
                    delete(db, key)
        for name, kept in self.kept.items():
            for key in keys(db, f"closed/{name}/"):
                if key not in kept:
                    delete(db, key)
        for key, body in self.puts:
            put(db, key, body)


class Checkpoint:
    """Turns what changed into blobs. Remembers what it wrote, so that only changes are written again."""

    def __init__(self) -> None:
        self._revisions: dict[str, int] = {}
        self._closed: dict[str, dict[int, int]] = {}  # series -> window -> checksum of what was written
        self._references: dict[str, int] = {}
        self._traffic: dict[str, int] = {}  # key of a model's traffic, or of a series' repeats -> revision
        self._gone: set[str] = set()

    def gone(self, name: str) -> None:
        """A series was forgotten: its blobs are deleted."""
        self._gone.add(name)
        for known in (self._revisions, self._closed, self._references):
            known.pop(name, None)
        for other in (f"repeats/{name}", f"follower/{name}/"):
            self._traffic.pop(other, None)

    def failed(self) -> None:
        """The last plan did not reach the store: everything is written again."""
        self._revisions.clear()
        self._references.clear()
        self._closed.clear()
        self._traffic.clear()

    def written(self, plan: Plan) -> None:
        """The plan is in the store."""
        self._gone -= set(plan.gone)

    def collect(self, one: Series, plan: Plan) -> None:
        """Adds a series to the plan. Cheap where nothing changed."""
        name = series_id(one.key)
        self._gone.discard(name)  # it is back before it was deleted
        if self._revisions.get(name) == one.revision:
            return
        self._revisions[name] = one.revision
        plan.puts.append((f"series/{name}", dump(one)))
        if one.reference is not None and self._references.get(name) != one.reference.hash:
            self._references[name] = one.reference.hash
            plan.puts.append((f"reference/{name}", reference_file.encode(one.reference)))
        before = self._closed.get(name, {})
        now = {closed.index: _changeable(closed) for closed in one.recent}
        plan.kept[name] = {closed_key(name, index) for index in now}
        plan.puts += [
            (closed_key(name, c.index), dump_closed(c)) for c in one.recent if before.get(c.index) != now[c.index]
        ]
        self._closed[name] = now

    def collect_repeats(self, key: ModelKey, repeats: Repeats, plan: Plan) -> None:
        """Adds what came twice to a series, where it changed."""
        self._collect(f"repeats/{series_id(key)}", repeats, plan)

    def collect_followers(self, key: ModelKey, followers: Followers, plan: Plan) -> None:
        """Adds what follows a series, where it changed."""
        self._collect_followers(f"follower/{series_id(key)}/", followers, plan)

    def collect_shared(self, known: Mapping[str, Followers], plan: Plan) -> None:
        """Adds what follows the models as wholes; that of others is deleted."""
        named = {f"follower/{shared_id(model)}/": followers for model, followers in known.items()}
        plan.shared = set(named)
        for name, followers in named.items():
            self._collect_followers(name, followers, plan)

    def _collect_followers(self, name: str, followers: Followers, plan: Plan) -> None:
        if self._traffic.get(name) != followers.revision:
            self._traffic[name] = followers.revision
            plan.puts += [(f"{name}{kind}", blob) for kind, blob in followers.dump().items()]

    def collect_traffic(self, known: Mapping[tuple[ModelKey, int], Traffic], plan: Plan) -> None:
        """Adds what is known of the models' traffic, where it changed; that of others is deleted."""
        named = {f"traffic/{model_id(*whole)}": traffic for whole, traffic in known.items()}
        plan.models = set(named)
        for name, traffic in named.items():
            self._collect(name, traffic, plan)

    def _collect(self, name: str, changed: Repeats | Traffic, plan: Plan) -> None:
        if self._traffic.get(name) != changed.revision:
            self._traffic[name] = changed.revision
            plan.puts.append((name, changed.to_bytes()))

    def forgotten(self, plan: Plan) -> None:
        """Adds the series that are gone."""
        plan.gone += self._gone


def _changeable(closed: Closed) -> int:
    """Checksum of what may yet change in a closed window: cells that are forgotten, segments that are let go."""
    digest = xxhash.xxh3_64(closed.counts.tobytes())
    for name, counts in closed.segments.items():
        digest.update(name.encode())
        digest.update(counts.tobytes())
    return digest.intdigest()


def closed_key(name: str, index: int) -> str:
    """Where a closed window lies; sorted by index."""
    return f"closed/{name}/{index:020d}"


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
    one.total, one.bins_since_ns = _ints(message.total, one.total.size), message.bins_since_unix_nano
    for sample in message.samples:
        if sample.kind not in one.samples:
            raise CorruptError(f"series {name} holds a sample of another kind")
        both = one.samples[sample.kind]
        both.before, both.now = both.now, _sample(sample)
    for window in message.open:
        one.open[window.index] = _window(window, None if reference is None else reference.layout.cells)
    for key_ in keys(db, f"closed/{name}/"):
        try:
            one.recent.append(_closed(state.Window.FromString(get(db, key_) or b""), one.total.size))
        except (CorruptError, DecodeError) as error:
            log.warning("state_blob_dropped key=%s error=%s", key_, error)
    segments = sum(len(w.segments) for w in one.open.values()) + sum(len(c.segments) for c in one.recent)
    one.segments.take_back(segments)
    for sketch_key, blob in message.kll.items():
        source, _, feature = sketch_key.partition("/")
        one.numbers.open[(Source(int(source)), feature)] = Quantiles.from_bytes(blob)
    if message.learner and reference is None:
        one.learner = learn_state.decode(message.learner)
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
    one.latency, one.latency_sum = _ints(message.latency, durations.BUCKETS), message.latency_sum
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
        open=[_dump_window(w) for w in one.open.values()],
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


def _dump_window(window: Window) -> state.Window:
    return state.Window(
        index=window.index,
        rows=window.rows,
        counts=b"" if window.counts is None else window.counts.astype("<i8").tobytes(),
        latency=window.latency.astype("<i8").tobytes(),
        errors=window.errors,
        latency_sum=window.latency_sum,
        segments={name: counts.astype("<i8").tobytes() for name, counts in window.segments.items()},
        unknown=window.unknown,
        backlog=window.backlog,
        first_unix_nano=window.first_ns,
        sketched=window.texts is not None,
        texts=[] if window.texts is None else [_dump_texts(*own) for own in window.texts.sketches.items()],
        examples=None if window.examples is None else window.examples.dump(),
    )


def _dump_texts(key: tuple[Source, str], own: TextSketch) -> state.Texts:
    held = own.newcomers
    return state.Texts(
        source=int(key[0]), name=key[1], sketch=own.distinct.to_bytes(), new=held.total, error=held.error,
        newcomers=[state.Newcomer(text=str(text), count=count) for text, count in held.counts.items()],
    )  # fmt: skip


def _window_texts(message: state.Window) -> WindowTexts:
    found = WindowTexts()
    for own in message.texts:
        sketch = found.sketches[(Source(own.source), own.name)] = TextSketch(Distinct.from_bytes(own.sketch))
        sketch.newcomers.total, sketch.newcomers.error = int(own.new), int(own.error)
        sketch.newcomers.counts = {new.text: int(new.count) for new in own.newcomers}
    return found


def dump_closed(closed: Closed) -> bytes:
    return state.Window(
        index=closed.index,
        rows=closed.rows,
        counts=closed.counts.astype("<i4").tobytes(),
        latency=closed.latency.astype("<i4").tobytes(),
        errors=closed.errors,
        segments={name: counts.astype("<i4").tobytes() for name, counts in closed.segments.items()},
        covered_seconds=closed.covered_seconds,
        unknown=closed.unknown,
        backlog=closed.backlog,
        repeats={kind: state.Repeats(rows=rows, again=again) for kind, (rows, again) in closed.repeats.items()},
        texts=[
            state.Texts(
                source=int(source),
                name=name,
                distinct=seen.distinct,
                new=seen.new,
                newcomers=[state.Newcomer(text=text, count=count) for text, count in seen.newcomers],
            )
            for (source, name), seen in closed.texts.items()
        ],
    ).SerializeToString(deterministic=True)


def _window(message: state.Window, cells: int | None) -> Window:
    return Window(
        message.index,
        None if cells is None else _ints(message.counts, cells),
        _ints(message.latency, durations.BUCKETS),
        rows=message.rows,
        errors=message.errors,
        latency_sum=message.latency_sum,
        segments={name: _ints(data, cells or 0) for name, data in message.segments.items()},
        unknown=Counter(dict(message.unknown)),
        backlog=message.backlog,
        first_ns=message.first_unix_nano,
        texts=_window_texts(message) if message.sketched else None,
        examples=Examples.load(message.examples, cells or 0) if message.HasField("examples") else None,
    )


def _closed(message: state.Window, cells: int) -> Closed:
    return Closed(
        message.index,
        _cells(message.counts, cells),
        _cells(message.latency, durations.BUCKETS),
        message.rows,
        message.errors,
        {name: narrowed(_cells(data, cells)) for name, data in message.segments.items()},
        message.covered_seconds,
        message.backlog,
        dict(sorted(message.unknown.items())),
        {kind: (int(found.rows), int(found.again)) for kind, found in sorted(message.repeats.items())},
        {
            (Source(own.source), own.name): TextsSeen(
                int(own.distinct), int(own.new), tuple((new.text, int(new.count)) for new in own.newcomers)
            )
            for own in message.texts
        },
    )


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


def _ints(data: bytes, size: int) -> Ints:
    found = np.frombuffer(data, dtype="<i8").astype(np.int64)
    if found.size != size:
        raise CorruptError(f"{found.size} counts, expected {size}")
    return found


def _cells(data: bytes, size: int) -> Cells:
    found = np.frombuffer(data, dtype="<i4").astype(np.int32)
    if found.size != size:
        raise CorruptError(f"{found.size} counts, expected {size}")
    return found


def learned_references(path: Path) -> list[Reference]:
    """Every learned reference in a state file, read beside a running agent. Raises UnavailableError where there is no
    file."""
    if not path.exists():
        raise UnavailableError(f"no state at {path}: is SIDELIGHT_STATE_DIR the agent's?")
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        blobs = [get(db, key) for key in keys(db, "reference/")]
    found = [reference_file.decode(blob) for blob in blobs if blob is not None]
    return list({r.hash: r for r in found if r.origin == LEARNED}.values())  # once, whoever else borrows it
