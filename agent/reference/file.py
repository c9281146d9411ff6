"""The reference file (`*.sidelight`): a Reference to bytes and back. The bytes: proto/sidelight/v1/reference.proto."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import numpy as np
import xxhash
from google.protobuf.message import DecodeError, Message

from agent.bins import NO_RULES, RARE_CELLS_MAX, Feature, Layout, Rules
from agent.errors import CorruptError, UnusableReferenceError
from agent.records import Ints, Kind, Source
from agent.reference import projection_file
from agent.reference.by_segment import BySegment, SegmentCounts
from agent.reference.profile import Reference
from agent.wire import reference_pb2 as pb

FORMATS = (1, 2)  # read; written is the first that says all: 2 where texts have several cells of rare categories
SUFFIX = ".sidelight"
MODE = 0o644  # counts and category names of training data: as readable as the model beside it
LIMIT_BYTES = 256 << 20  # a larger file is not read
KNOWN = ("layout", "blocks", "quantiles", "origin", "segments")


M = TypeVar("M", bound=Message)


def encode(reference: Reference) -> bytes:
    """The same reference gives the same bytes. Sections of a newer version go back in as they came."""
    rare = any(feature.rare_cells > 1 for feature in reference.layout.features)
    file = pb.ReferenceFile(format=FORMATS[rare])
    for key, message in (
        ("layout", layout_message(reference)),
        ("blocks", _blocks_message(reference)),
        ("quantiles", _quantiles_message(reference)),
        ("origin", _origin_message(reference)),
        *((("segments", _segments_message(reference)),) if reference.by_segment.keys else ()),
    ):
        _add(file, key, message.SerializeToString(deterministic=True))
    for key, body in reference.unknown:
        _add(file, key, body)
    file.checksum = _file_checksum(file)
    return file.SerializeToString(deterministic=True)


def decode(data: bytes, name: str = "reference") -> Reference:
    """The reference in `data`; `name` stands in messages.

    Raises CorruptError, with the section's name, for bytes that `encode` did not write; UnusableReferenceError for a
    whole file that needs a newer agent.
    """
    sections = _sections(data, name)
    head = _parse(pb.Layout(), sections, "layout", name)
    blocks = _parse(pb.Blocks(), sections, "blocks", name)
    quantiles = _parse(pb.Quantiles(), sections, "quantiles", name)
    origin = _parse(pb.Origin(), sections, "origin", name)
    layout = layout_of(head, name)
    starts = np.array(blocks.start_unix_nano, dtype=np.uint64).astype(np.int64)
    rows = np.array(blocks.rows, dtype=np.int64)
    expected = len(starts) * layout.cells * 4
    if len(rows) != len(starts) or len(blocks.counts) != expected:
        raise CorruptError(f"{name}: section blocks: {len(blocks.counts)} bytes of counts, expected {expected}")
    counts = np.frombuffer(blocks.counts, dtype="<i4").astype(np.int32).reshape(len(starts), layout.cells)
    if counts.size and counts.min() < 0:
        raise CorruptError(f"{name}: section blocks: a negative count")
    return Reference(
        model=head.model,
        version=head.version,
        layout=layout,
        blocks=counts,
        starts_ns=starts,
        rows=rows,
        task=int(head.task),
        positive_label=head.positive_label,
        trained_at_ns=head.trained_at_unix_nano,
        segments=tuple(head.segments),
        protected=tuple(head.protected),
        classes=tuple(head.classes),
        quantiles=_quantiles_of(quantiles, name),
        made_by=origin.made_by,
        made_at_ns=origin.made_at_unix_nano,
        origin=origin.source,
        by_segment=_segments_of(_parse(pb.Segments(), sections, "segments", name), len(starts), name),
        unknown=tuple((key, body) for key, body in sections if key not in KNOWN),
    )


def write(reference: Reference, path: str | Path) -> None:
    """Writes the file whole or not at all: beside it, synced, then renamed over. Raises OSError, and
    UnusableReferenceError for what no agent would read."""
    data = encode(reference)
    if len(data) > LIMIT_BYTES:
        said = f"{path}: {len(data)} bytes, more than the {LIMIT_BYTES} an agent reads"
        raise UnusableReferenceError(f"{said}: fewer vectors, or --ignore texts with very many values")
    write_whole(Path(path), data)


def export(reference: Reference, path: str | Path) -> None:
    """Writes a reference that was learned from traffic, so that other replicas need not learn it again."""
    write(reference, path)


def write_whole(path: Path, data: bytes) -> None:
    """A reader sees the old bytes or the new ones, never a part, whenever the machine dies."""
    handle, beside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(data)
            os.fchmod(out.fileno(), MODE)
            out.flush()
            os.fsync(out.fileno())
        os.replace(beside, path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def layout_message(reference: Reference) -> pb.Layout:
    """Everything of a reference but its counts."""
    return pb.Layout(
        model=reference.model,
        version=reference.version,
        features=[feature_message(f) for f in reference.layout.features],
        window_seconds=reference.layout.window_seconds,
        task=reference.task,  # type: ignore[arg-type]  # open enumerations: any number is kept
        positive_label=reference.positive_label,
        trained_at_unix_nano=reference.trained_at_ns,
        segments=reference.segments,
        protected=reference.protected,
        classes=reference.classes,
        projections=projection_file.messages(reference.layout.projections),
    )


def feature_message(feature: Feature) -> pb.Feature:
    return pb.Feature(
        name=feature.name,
        source=int(feature.source),  # type: ignore[arg-type]
        kind=int(feature.kind),  # type: ignore[arg-type]
        edges=feature.edges,
        categories=feature.categories,
        public=feature.public,
        critical=feature.critical,
        ignored=feature.ignored,
        integral=feature.integral,
        size=feature.size,
        group=feature.group,
        seen=np.array(sorted(feature.seen), dtype="<u8").tobytes(),
        rules=_rules_message(feature.rules),
        rare_cells=feature.rare_cells if feature.rare_cells > 1 else 0,
    )


def _rules_message(rules: Rules) -> pb.Rules | None:
    if rules == NO_RULES:
        return None
    found = pb.Rules(required=rules.required, never_null=rules.never_null, whole=rules.whole)
    for name in ("low", "high", "max_missing", "max_new"):
        if getattr(rules, name) != getattr(NO_RULES, name):
            setattr(found, name, getattr(rules, name))
    return found


def _rules_of(message: pb.Feature, name: str) -> Rules:
    if not message.HasField("rules"):
        return NO_RULES
    rules = message.rules
    numbers = {key: getattr(rules, key) for key in ("low", "high", "max_missing", "max_new") if rules.HasField(key)}
    shares = [numbers.get(key, 1.0) for key in ("max_missing", "max_new")]
    found = Rules(required=rules.required, never_null=rules.never_null, whole=rules.whole, **numbers)
    if not found.low <= found.high or not all(0.0 <= share <= 1.0 for share in shares):
        raise CorruptError(f"{name}: section layout: feature {message.name}: impossible rules")
    return found


def layout_of(message: pb.Layout, name: str = "reference") -> Layout:
    """The layout of a message. Raises CorruptError for impossible bins, UnusableReferenceError for a newer kind."""
    if not message.window_seconds > 0:
        raise CorruptError(f"{name}: section layout: window of {message.window_seconds} seconds")
    features = [_feature_of(f, name) for f in message.features]
    return projection_file.with_messages(features, message.window_seconds, message.projections, name)


def _feature_of(message: pb.Feature, name: str) -> Feature:
    try:
        source, kind = Source(message.source), Kind(message.kind)
    except ValueError as error:
        raise UnusableReferenceError(f"{name}: feature {message.name}: {error}: written by a newer version") from None
    edges = np.array(message.edges, dtype=np.float64)
    if kind is Kind.NUMBER and (len(edges) < 2 or not np.isfinite(edges).all() or (np.diff(edges) <= 0).any()):
        raise CorruptError(f"{name}: section layout: feature {message.name}: edges do not rise")
    if len(message.seen) % 8:
        raise CorruptError(f"{name}: section layout: feature {message.name}: seen categories are cut short")
    if message.rare_cells > (RARE_CELLS_MAX if kind is Kind.TEXT else 1):
        raise CorruptError(f"{name}: section layout: feature {message.name}: {message.rare_cells} cells of rare values")
    return Feature(
        name=message.name,
        source=source,
        kind=kind,
        edges=tuple(edges.tolist()),
        categories=tuple(message.categories),
        seen=frozenset(np.frombuffer(message.seen, dtype="<u8").tolist()),
        public=message.public,
        critical=message.critical,
        ignored=message.ignored,
        integral=message.integral,
        size=message.size,
        group=message.group,
        rules=_rules_of(message, name),
        rare_cells=max(int(message.rare_cells), 1),
    )


def _sections(data: bytes, name: str) -> list[tuple[str, bytes]]:
    """Key and body of each section, every checksum verified."""
    try:
        file = pb.ReferenceFile.FromString(data)
    except DecodeError as error:
        raise CorruptError(f"{name}: not a reference file, or cut short") from error
    if not file.sections:
        raise CorruptError(f"{name}: not a reference file, or cut short")
    for section in file.sections:
        if section.checksum != _checksum(section.key, section.body):
            raise CorruptError(f"{name}: section {section.key[:40]!r}: the checksum does not match")
    if file.checksum != _file_checksum(file):
        raise CorruptError(f"{name}: the sections are not those that were written")
    if file.format not in FORMATS:
        raise UnusableReferenceError(f"{name}: format {file.format}, this version reads formats up to {FORMATS[-1]}")
    return [(section.key, section.body) for section in file.sections]


def _parse(message: M, sections: Iterable[tuple[str, bytes]], key: str, name: str) -> M:
    for found, body in sections:
        if found == key:
            try:
                message.ParseFromString(body)
            except DecodeError as error:
                raise CorruptError(f"{name}: section {key}: {error}") from error
            return message
    if key in ("layout", "blocks"):
        raise CorruptError(f"{name}: section {key} is missing")
    return message


def _quantiles_of(message: pb.Quantiles, name: str) -> dict[tuple[Source, str], bytes]:
    found = {}
    for key, blob in message.kll.items():
        number, slash, feature = key.partition("/")
        if not slash or number not in ("1", "2", "3", "4"):
            raise CorruptError(f"{name}: section quantiles: key {key[:40]!r}")
        found[Source(int(number)), feature] = blob
    return found


def _blocks_message(reference: Reference) -> pb.Blocks:
    return pb.Blocks(
        start_unix_nano=_unsigned(reference.starts_ns),
        rows=reference.rows.tolist(),
        counts=np.ascontiguousarray(reference.blocks, dtype="<i4").tobytes(),
    )


def _segments_message(reference: Reference) -> pb.Segments:
    segments = reference.by_segment
    return pb.Segments(
        keys=segments.keys,
        runs=[pb.SegmentRun(first=first, blocks=blocks) for first, blocks in segments.runs],
        values=[
            pb.SegmentValue(key=v.key, value=v.value, rows=v.rows.tolist(), counts=v.packed) for v in segments.values
        ],
    )


def _segments_of(message: pb.Segments, blocks: int, name: str) -> BySegment:
    """The counts stay packed: whoever judges opens them, one value at a time."""
    runs = tuple((int(run.first), int(run.blocks)) for run in message.runs)
    if any(not length or first + length > blocks for first, length in runs):
        raise CorruptError(f"{name}: section segments: a run beyond the {blocks} blocks")
    values = []
    for value in message.values:
        if len(value.rows) != blocks:
            raise CorruptError(f"{name}: section segments: rows of {len(value.rows)} blocks, expected {blocks}")
        rows = np.array(value.rows, dtype=np.int64)
        values.append(SegmentCounts(value.key, value.value, rows, value.counts))
    return BySegment(tuple(message.keys), runs, tuple(values))


def _unsigned(times: Ints) -> list[int]:
    return [int(time) for time in np.asarray(times, dtype=np.int64).astype(np.uint64)]


def _quantiles_message(reference: Reference) -> pb.Quantiles:
    return pb.Quantiles(kll={f"{int(source)}/{name}": blob for (source, name), blob in reference.quantiles.items()})


def _origin_message(reference: Reference) -> pb.Origin:
    return pb.Origin(
        made_by=reference.made_by,
        made_at_unix_nano=reference.made_at_ns,
        source=reference.origin,
        rows=int(reference.rows.sum()),
    )


def _add(file: pb.ReferenceFile, key: str, body: bytes) -> None:
    file.sections.add(key=key, checksum=_checksum(key, body), body=body)


def _checksum(key: str, body: bytes) -> int:
    state = xxhash.xxh3_64(key.encode() + b"\0")
    state.update(body)
    return state.intdigest()


def _file_checksum(file: pb.ReferenceFile) -> int:
    parts = [file.format, *(section.checksum for section in file.sections)]
    return xxhash.xxh3_64(b"".join(part.to_bytes(8, "little") for part in parts)).intdigest()
