"""What segments, duplicates, whole rows, vectors and the wait for a label add to bulk ingest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from bench import pace
from bench.limits import VectorFloor, count_apart, multiply_add
from bench.line import Beside, Line, Samples, in_turns
from bench.processes import COLUMNS, HOUR, WINDOW, Sender, all_kept, cpu_microseconds, empty_handler, pair
from bench.scale import Scale
from bench.stations import DUPLICATES, WAITING, WHOLE, Stations
from bench.traffic import Traffic, segment_name

SEGMENTED = Traffic(segments=(10, 3))
VECTORS = Traffic(vector=768)
ROOM = {"queue_bytes_max": str(256 << 20)}  # for what comes while a window is judged: this sender does not send again

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


def segments(scale: Scale, folder: Path) -> Iterator[Line]:
    """Two keys, of ten and three values, less the same records without."""
    with ExitStack() as stack:
        plain, sender = pair(stack, folder / "plain", COLUMNS, WINDOW)
        keys = ",".join(segment_name(k) for k in range(len(SEGMENTED.segments)))
        floors = [count_apart(COLUMNS, values) for values in SEGMENTED.segments]
        split, split_sender = pair(stack, folder / "split", SEGMENTED, WINDOW, segments=keys)
        found = in_turns(
            {
                "plain": lambda: cpu_microseconds(plain, sender, scale.bulk_messages, stream=True),
                "split": lambda: cpu_microseconds(split, split_sender, scale.bulk_messages, stream=True),
                "floor": lambda: sum(apart() for apart in floors) / len(floors),
            },
            scale.repeats,
        )
        all_kept(plain, split)
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
    spent["waiting"], paces = [], []
    for _ in range(scale.repeats):
        before = pace.now()
        found = {name: cost for name, cost, _ in stations.measure(max(1, scale.bulk_messages // 2))}
        vectors = {name: cost for name, cost, _ in with_vectors.measure(max(1, scale.bulk_messages // 8))}
        spent["duplicates"].append(sum(found[name] for name in DUPLICATES))
        spent["whole"].append(found[WHOLE])
        spent["waiting"].append(sum(found[name] for name in WAITING))
        spent["limit"].append(limit())
        spent["vectors"].append(_counted(vectors) - _counted(found))
        spent["product"].append(floor.product())
        paces.append((before + pace.now()) / 2)
    beside = (Beside("one multiply-add over the same numbers, numpy", Samples.of(spent["limit"])),)
    names = {"duplicates": "duplicates by ids and by rows", "whole": "whole rows, a sample of heavy traffic"}
    for name, what in names.items():
        yield Line(f"{what}, added to bulk", "µs", Samples.of(spent[name], paces), 0.2, beside=beside, why=ADDED_WHY)
    yield Line(
        f"a vector of {VECTORS.vector} entries a record, placed, projected and hashed",
        "µs",
        Samples.of(spent["vectors"], paces),
        beside=(Beside("one product with 36 directions, every row, numpy", Samples.of(spent["product"])),),
        note="without what its bytes cost on their way: the next line has that",
    )
    yield Line(
        "a prediction that waits for its label, added to bulk",
        "µs",
        Samples.of(spent["waiting"], paces),
        note="the budget is that of both, under label join",
    )


def _counted(found: Mapping[str, float]) -> float:
    return sum(cost for name, cost in found.items() if name.startswith("count: ") or name in (WHOLE, *DUPLICATES))


def vectors(scale: Scale, folder: Path) -> Iterator[Line]:
    """A vector beside the 20 features, less the same records without; beside what its bytes cost anyone."""
    count = max(1, scale.bulk_messages // 8)
    with ExitStack() as stack:
        plain, sender = pair(stack, folder / "no_vectors", COLUMNS, WINDOW)
        whole, whole_sender = pair(stack, folder / "vectors", VECTORS, WINDOW, **ROOM)
        plain_hour, hour_sender = pair(stack, folder / "no_vectors_hour", COLUMNS, HOUR)
        whole_hour, whole_hour_sender = pair(stack, folder / "vectors_hour", VECTORS, HOUR, **ROOM)
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
        all_kept(plain, whole, plain_hour, whole_hour)
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
