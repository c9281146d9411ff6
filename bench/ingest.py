"""CPU of a real agent process for each record: in bulk, by row, one a call, with segments, labels."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from bench import peer
from bench.limits import Floor, RowFloor, VectorFloor, count_apart, multiply_add
from bench.line import Beside, Line, Samples, in_turns
from bench.processes import Agent, BenchError, Sender, cpu_microseconds, empty_handler
from bench.scale import Scale
from bench.stations import DUPLICATES, WAITING, WHOLE, Stations
from bench.traffic import Traffic, segment_name, write_reference

WINDOW = 5.0  # short, so that closing windows, drift and quality are in the figure
HOUR = 3600.0
KEPT_SECONDS = 20.0
COLUMNS = Traffic()
ROWS = Traffic(body="rows", rows=100)
SINGLE = Traffic(body="rows", rows=1)
SEGMENTED = Traffic(segments=(10, 3))
LABELS = Traffic(body="labels")
VECTORS = Traffic(vector=768)
ROOM = {"queue_bytes_max": str(256 << 20)}  # for what comes while a window is judged: this sender does not send again

BULK_WHY = (
    "numpy and KLL themselves are the floor beside it; the rest is a fixed cost a message: a hundred numpy calls and "
    "a few hundred steps of Python, and gRPC's. It falls with larger messages and rises on a busy machine."
)
ROW_WHY = (
    "each row is parsed and its maps are walked in Python, the second floor beside it; checks, outputs and ids come on "
    "top. Only columns avoid that."
)
SINGLE_WHY = (
    "beyond the empty call: parse, judge, remember, journal (one system call to write) and answer, each some "
    "microseconds of Python, and counting in gatherings too small to share numpy's cost a call."
)
ADDED_WHY = "at 500 records a message it is a dozen numpy calls, each of them at its fixed cost."
VECTOR_BYTES_WHY = (
    "three thousand bytes a record through the socket, the checksum and the disk, the same three beside it, cost more "
    "than the product with the directions and the hash."
)
VECTOR_WHY = (
    f"{VECTOR_BYTES_WHY} Its numbers are judged at every close, here every five seconds, which carry few records: the "
    "next line is without."
)
SEGMENT_WHY = "all cells of a message are counted once more a key, apart by value, into an array of values × cells."


def bulk(scale: Scale, folder: Path) -> Iterator[Line]:
    """500 records a message, as stream and by single calls, beside the floor, the transport alone, and whylogs."""
    with ExitStack() as stack:
        agent, sender = _pair(stack, folder / "bulk", COLUMNS, WINDOW)
        first, first_sender = _pair(stack, folder / "first", COLUMNS, HOUR)
        empty, endpoint = empty_handler(folder / "empty")
        stack.enter_context(empty)
        to_empty = stack.enter_context(Sender(endpoint, COLUMNS, folder / "empty"))
        floor = Floor(COLUMNS, folder, max(1, scale.bulk_messages // 3))
        count = scale.bulk_messages
        subjects: dict[str, Callable[[], float]] = {
            "stream": lambda: cpu_microseconds(agent, sender, count, stream=True),
            "floor": floor.count,
            "unary": lambda: cpu_microseconds(agent, sender, count),
            "sketch": floor.sketch,
            "first": lambda: cpu_microseconds(first, first_sender, count, stream=True),
            "transport": lambda: cpu_microseconds(empty, to_empty, count, stream=True),
            "transport_unary": lambda: cpu_microseconds(empty, to_empty, count),
        }
        whylogs = _peer(stack, scale)
        if whylogs is not None:
            subjects["whylogs"] = whylogs.frame
        found = in_turns(subjects, scale.repeats)
        _all_kept(agent, first)
    counted, sketched = (
        found["floor"].plus(found["transport"]),
        found["floor"].plus(found["transport"]).plus(found["sketch"]),
    )
    without = Beside("parse, journal, bin counts by hand, empty stream", counted)
    every = Beside("and KLL on every value", sketched)
    them = _beside(found, "whylogs", "whylogs, pandas frame")
    what = "bulk ingest, columns, 500 records a message"
    yield Line(f"{what}, stream", "µs", found["stream"], 1.5, beside=(without, every, *them), why=BULK_WHY)
    unary = Beside("the same by hand, empty call", found["floor"].plus(found["transport_unary"]))
    yield Line(f"{what}, single calls", "µs", found["unary"], 1.5, beside=(unary, *them), why=BULK_WHY)
    yield Line(
        f"{what}, stream, a series' first window (every value into KLL)",
        "µs",
        found["first"],
        beside=(every,),
        note="without a budget of its own: later windows of busy series feed KLL a sample",
    )


def rows(scale: Scale, folder: Path) -> Iterator[Line]:
    """100 rows a message."""
    with ExitStack() as stack:
        agent, sender = _pair(stack, folder / "rows", ROWS, WINDOW)
        floor = RowFloor(ROWS, max(1, scale.row_messages // 3))
        subjects: dict[str, Callable[[], float]] = {
            "stream": lambda: cpu_microseconds(agent, sender, scale.row_messages, stream=True),
            "parse": floor.parse,
            "unary": lambda: cpu_microseconds(agent, sender, scale.row_messages),
            "walk": floor.walk,
        }
        whylogs = _peer(stack, scale)
        if whylogs is not None:
            subjects["whylogs"] = whylogs.row
        found = in_turns(subjects, scale.repeats)
        _all_kept(agent)
    beside = (
        Beside("protobuf parse", found["parse"]),
        Beside("parse, two maps walked", found["walk"]),
        *_beside(found, "whylogs", "whylogs, row"),
    )
    for name, text in (("stream", "stream"), ("unary", "single calls")):
        yield Line(f"row ingest, 100 rows a message, {text}", "µs", found[name], 12.0, beside=beside, why=ROW_WHY)


def single(scale: Scale, folder: Path) -> Iterator[Line]:
    """One record a call, against an empty handler that is given the same bytes."""
    with ExitStack() as stack:
        agent, sender = _pair(stack, folder / "single", SINGLE, WINDOW)
        empty, endpoint = empty_handler(folder / "single_empty")
        stack.enter_context(empty)
        to_empty = stack.enter_context(Sender(endpoint, SINGLE, folder / "single_empty"))
        found = in_turns(
            {
                "ours": lambda: cpu_microseconds(agent, sender, scale.calls),
                "empty": lambda: cpu_microseconds(empty, to_empty, scale.calls),
            },
            scale.repeats,
        )
        _all_kept(agent)
    beside = (Beside("empty grpc.aio handler", found["empty"]),)
    yield Line("one record a call (unary)", "µs", found["ours"], 1.5, relative=True, beside=beside, why=SINGLE_WHY)


def segments(scale: Scale, folder: Path) -> Iterator[Line]:
    """Two keys, of ten and three values, less the same records without."""
    with ExitStack() as stack:
        plain, sender = _pair(stack, folder / "plain", COLUMNS, WINDOW)
        keys = ",".join(segment_name(k) for k in range(len(SEGMENTED.segments)))
        floors = [count_apart(COLUMNS, values) for values in SEGMENTED.segments]
        split, split_sender = _pair(stack, folder / "split", SEGMENTED, WINDOW, segments=keys)
        found = in_turns(
            {
                "plain": lambda: cpu_microseconds(plain, sender, scale.bulk_messages, stream=True),
                "split": lambda: cpu_microseconds(split, split_sender, scale.bulk_messages, stream=True),
                "floor": lambda: sum(apart() for apart in floors) / len(floors),
            },
            scale.repeats,
        )
        _all_kept(plain, split)
    added = found["split"].less(found["plain"], len(SEGMENTED.segments))
    yield Line(
        "each segment key (mean of one of 10 and one of 3 values), added to bulk",
        "µs",
        added,
        0.5,
        beside=(
            Beside("one bincount of the same cells, apart by value, numpy", found["floor"]),
            Beside("bulk without", found["plain"]),
        ),
        why=SEGMENT_WHY,
    )


def added(scale: Scale, folder: Path) -> Iterator[Line]:
    """What duplicates, whole rows, vectors and the wait for a label add: CPU of their own functions, in process, in the
    agent's own code."""
    stations, with_vectors = (
        Stations(traffic, folder / name) for name, traffic in (("added", COLUMNS), ("added_vectors", VECTORS))
    )
    limit, floor = multiply_add(COLUMNS), VectorFloor(VECTORS, folder, max(1, scale.bulk_messages // 40))
    spent: dict[str, list[float]] = {"duplicates": [], "whole": [], "limit": [], "vectors": [], "product": []}
    spent["waiting"] = []
    for _ in range(scale.repeats):
        found = {name: cost for name, cost, _ in stations.measure(max(1, scale.bulk_messages // 2))}
        vectors = {name: cost for name, cost, _ in with_vectors.measure(max(1, scale.bulk_messages // 8))}
        spent["duplicates"].append(sum(found[name] for name in DUPLICATES))
        spent["whole"].append(found[WHOLE])
        spent["waiting"].append(sum(found[name] for name in WAITING))
        spent["limit"].append(limit())
        spent["vectors"].append(_counted(vectors) - _counted(found))
        spent["product"].append(floor.product())
    beside = (Beside("one multiply-add over the same numbers, numpy", Samples.of(spent["limit"])),)
    names = {"duplicates": "duplicates by ids and by rows", "whole": "whole rows, a sample of heavy traffic"}
    for name, what in names.items():
        yield Line(f"{what}, added to bulk", "µs", Samples.of(spent[name]), 0.2, beside=beside, why=ADDED_WHY)
    yield Line(
        f"a vector of {VECTORS.vector} entries a record, placed, projected and hashed",
        "µs",
        Samples.of(spent["vectors"]),
        beside=(Beside("one product with 36 directions, every row, numpy", Samples.of(spent["product"])),),
        note="without what its bytes cost on their way: the next line has that",
    )
    yield Line(
        "a prediction that waits for its label, added to bulk",
        "µs",
        Samples.of(spent["waiting"]),
        note="the budget is that of both, under label join",
    )


def _counted(found: Mapping[str, float]) -> float:
    return sum(cost for name, cost in found.items() if name.startswith("count: ") or name in (WHOLE, *DUPLICATES))


def vectors(scale: Scale, folder: Path) -> Iterator[Line]:
    """A vector beside the 20 features, less the same records without; beside what its bytes cost anyone."""
    count = max(1, scale.bulk_messages // 8)
    with ExitStack() as stack:
        plain, sender = _pair(stack, folder / "no_vectors", COLUMNS, WINDOW)
        whole, whole_sender = _pair(stack, folder / "vectors", VECTORS, WINDOW, **ROOM)
        plain_hour, hour_sender = _pair(stack, folder / "no_vectors_hour", COLUMNS, HOUR)
        whole_hour, whole_hour_sender = _pair(stack, folder / "vectors_hour", VECTORS, HOUR, **ROOM)
        empty, endpoint = empty_handler(folder / "vectors_empty")
        stack.enter_context(empty)
        to_empty, whole_to_empty = (
            stack.enter_context(Sender(endpoint, traffic, folder / "vectors_empty")) for traffic in (COLUMNS, VECTORS)
        )
        floor = VectorFloor(VECTORS, folder, max(1, count // 5))
        found = in_turns(
            {
                "plain": lambda: cpu_microseconds(plain, sender, 4 * count, stream=True),
                "vectors": lambda: cpu_microseconds(whole, whole_sender, count, stream=True),
                "plain_hour": lambda: cpu_microseconds(plain_hour, hour_sender, 4 * count, stream=True),
                "vectors_hour": lambda: cpu_microseconds(whole_hour, whole_hour_sender, count, stream=True),
                "empty": lambda: cpu_microseconds(empty, to_empty, 4 * count, stream=True),
                "empty_vectors": lambda: cpu_microseconds(empty, whole_to_empty, count, stream=True),
                "write": floor.write,
                "product": floor.product,
            },
            scale.repeats,
        )
        _all_kept(plain, whole, plain_hour, whole_hour)
    carried = found["empty_vectors"].less(found["empty"]).plus(found["write"])
    beside = (
        Beside("its bytes to an empty server, checksummed and written", carried),
        Beside("and one product with 36 directions, every row", carried.plus(found["product"])),
    )
    what = f"a vector of {VECTORS.vector} entries a record, added to bulk"
    yield Line(
        what,
        "µs",
        found["vectors"].less(found["plain"]),
        3.0,
        beside=(*beside, Beside("bulk without", found["plain"])),
        why=VECTOR_WHY,
    )
    yield Line(
        f"{what}, within a window of an hour",
        "µs",
        found["vectors_hour"].less(found["plain_hour"]),
        3.0,
        beside=(*beside, Beside("bulk without", found["plain_hour"])),
        why=VECTOR_BYTES_WHY,
    )


def labels(scale: Scale, folder: Path) -> Iterator[Line]:
    """Labels whose prediction never came: taken, journalled, looked for, and kept for it a while."""
    with ExitStack() as stack:
        agent, sender = _pair(stack, folder / "labels", LABELS, HOUR)
        found = in_turns(
            {"labels": lambda: cpu_microseconds(agent, sender, max(1, scale.bulk_messages // 4))}, scale.repeats
        )
    yield Line(
        "label, 500 a message: taken, journalled and looked for; of no prediction",
        "µs",
        found["labels"],
        note="without a budget of its own; what the join adds stands under label join",
    )


def _pair(
    stack: ExitStack, folder: Path, traffic: Traffic, window_seconds: float, **options: str
) -> tuple[Agent, Sender]:
    """An agent that watches this traffic by a given reference, and a sender of it."""
    references = write_reference(traffic, folder, window_seconds)
    agent = stack.enter_context(Agent(folder, reference=str(references), **options))
    agent.wait_ready()
    return agent, stack.enter_context(Sender(agent.endpoint, traffic, folder))


def _all_kept(*agents: Agent) -> None:
    """What was answered is journalled; on a busy machine its counting may still be under way."""
    until = time.monotonic() + KEPT_SECONDS
    for agent in agents:
        while not agent.kept():
            if time.monotonic() > until:
                raise BenchError("nothing was kept")
            time.sleep(0.1)


def _peer(stack: ExitStack, scale: Scale) -> peer.Peer | None:
    python = peer.install() if scale.peer else None
    return None if python is None else stack.enter_context(peer.Peer(python))


def _beside(found: dict[str, Samples], key: str, name: str) -> tuple[Beside, ...]:
    return (Beside(name, found[key]),) if key in found else ()
