"""CPU of a real agent process for each record: in bulk, by row, one a call, labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from bench import peer
from bench.limits import Floor, RowFloor
from bench.line import Beside, Line, Samples, in_turns
from bench.processes import COLUMNS, HOUR, WINDOW, Sender, all_kept, cpu_microseconds, empty_handler, pair
from bench.scale import Scale
from bench.traffic import Traffic

ROWS = Traffic(body="rows", rows=100)
SINGLE = Traffic(body="rows", rows=1)
LABELS = Traffic(body="labels")
ALONE = {"label_seconds": "0"}  # what is budgeted as bulk and rows: the join is budgeted apart

BULK_WHY = (
    "numpy and KLL themselves are the floor beside it; the rest is a fixed cost a message: a hundred numpy calls and "
    "a few hundred steps of Python, and gRPC's. It falls with larger messages and rises on a busy machine."
)
ROW_WHY = (
    "rows built alike are read together, a fixed number of numpy calls a message; texts, ids, journal and counting "
    "come on top, and by single calls gRPC's own price of a call."
)
SINGLE_WHY = (
    "beyond the empty call: parse, judge, remember, journal (one system call to write) and answer, each some "
    "microseconds of Python, and counting in gatherings too small to share numpy's cost a call."
)


def bulk(scale: Scale, folder: Path) -> Iterator[Line]:
    """500 records a message, as stream and by single calls, beside the floor, the transport alone, and whylogs."""
    with ExitStack() as stack:
        agent, sender = pair(stack, folder / "bulk", COLUMNS, WINDOW, **ALONE)
        first, first_sender = pair(stack, folder / "first", COLUMNS, HOUR, **ALONE)
        whole, whole_sender = pair(stack, folder / "whole", COLUMNS, WINDOW)
        empty, endpoint = empty_handler(folder / "empty")
        stack.enter_context(empty)
        to_empty = stack.enter_context(Sender(endpoint, COLUMNS, folder / "empty"))
        floor = Floor(COLUMNS, folder, max(1, scale.bulk_messages // 3))
        count = scale.bulk_messages
        subjects: dict[str, Callable[[], float]] = {
            "stream": lambda: cpu_microseconds(agent, sender, count, stream=True),
            "floor": floor.count,
            "whole": lambda: cpu_microseconds(whole, whole_sender, count, stream=True),
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
        all_kept(agent, first, whole)
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
    yield _whole(f"{what}, stream", found, without)
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
        agent, sender = pair(stack, folder / "rows", ROWS, WINDOW, **ALONE)
        whole, whole_sender = pair(stack, folder / "whole_rows", ROWS, WINDOW)
        floor = RowFloor(ROWS, max(1, scale.row_messages // 3))
        subjects: dict[str, Callable[[], float]] = {
            "stream": lambda: cpu_microseconds(agent, sender, scale.row_messages, stream=True),
            "parse": floor.parse,
            "whole": lambda: cpu_microseconds(whole, whole_sender, scale.row_messages, stream=True),
            "unary": lambda: cpu_microseconds(agent, sender, scale.row_messages),
            "walk": floor.walk,
        }
        whylogs = _peer(stack, scale)
        if whylogs is not None:
            subjects["whylogs"] = whylogs.row
        found = in_turns(subjects, scale.repeats)
        all_kept(agent, whole)
    beside = (
        Beside("protobuf parse", found["parse"]),
        Beside("parse, two maps walked", found["walk"]),
        *_beside(found, "whylogs", "whylogs, row"),
    )
    for name, text in (("stream", "stream"), ("unary", "single calls")):
        yield Line(f"row ingest, 100 rows a message, {text}", "µs", found[name], 12.0, beside=beside, why=ROW_WHY)
    yield _whole("row ingest, 100 rows a message, stream", found, beside[0])


def single(scale: Scale, folder: Path) -> Iterator[Line]:
    """One record a call, against an empty handler that is given the same bytes."""
    with ExitStack() as stack:
        agent, sender = pair(stack, folder / "single", SINGLE, WINDOW)
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
        all_kept(agent)
    beside = (Beside("empty grpc.aio handler", found["empty"]),)
    yield Line("one record a call (unary)", "µs", found["ours"], 1.5, relative=True, beside=beside, why=SINGLE_WHY)


def labels(scale: Scale, folder: Path) -> Iterator[Line]:
    """Labels whose prediction never came: taken, journalled, looked for, and kept for it a while."""
    with ExitStack() as stack:
        agent, sender = pair(stack, folder / "labels", LABELS, HOUR)
        found = in_turns(
            {"labels": lambda: cpu_microseconds(agent, sender, max(1, scale.bulk_messages // 4))}, scale.repeats
        )
    yield Line(
        "label, 500 a message: taken, journalled and looked for; of no prediction",
        "µs",
        found["labels"],
        note="without a budget of its own; what the join adds stands under label join",
    )


def _whole(what: str, found: Mapping[str, Samples], limit: Beside) -> Line:
    """The same from an agent with nothing turned off: shown, not budgeted, since what it adds is budgeted by itself."""
    return Line(
        f"{what}, with all of it on",
        "µs",
        found["whole"],
        beside=(limit, Beside("without the store for labels", found["stream"])),
        note="without a budget of its own: predictions wait for their labels here, which is budgeted under label join",
    )


def _peer(stack: ExitStack, scale: Scale) -> peer.Peer | None:
    python = peer.install() if scale.peer else None
    return None if python is None else stack.enter_context(peer.Peer(python))


def _beside(found: dict[str, Samples], key: str, name: str) -> tuple[Beside, ...]:
    return (Beside(name, found[key]),) if key in found else ()
