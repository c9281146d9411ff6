"""Memory and start of a real agent process."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.line import Beside, Line, Samples, in_turns
from bench.processes import Agent, Process, Sender, empty_handler
from bench.scale import Scale
from bench.traffic import Traffic, segment_name, write_reference

IDLE_SECONDS = 5.0
MODELS = ("loan", "fraud", "churn")
SEGMENTS = 10
IMPORTS = (
    "import datasketches, grpc, grpc_health.v1.health, grpc_reflection.v1alpha.reflection, h11, msgspec, numpy, "
    "psutil, xxhash, google.protobuf.message"
)
IDLE_WHY = "the bare imports beside it are most of it."
LOADED_WHY = (
    "the imports; three references with their segments, judges (15 MiB a model) and grids of 1 to 12 KiB a number; and "
    "24 windows of counts for each segment."
)
START_WHY = (
    "the imports beside it are most of it; the rest is the state folder, the socket and, on a shared machine, waiting "
    "for a core."
)


def memory(scale: Scale, folder: Path) -> Iterator[Line]:
    """Idle, and after 28 one-second windows with three wide models and ten segments."""
    wide = [Traffic(rows=100, segments=(SEGMENTS,), model=model).wide(scale.wide) for model in MODELS]
    references = [write_reference(traffic, folder / "memory", 1.0) for traffic in wide]
    with ExitStack() as stack:
        agent = stack.enter_context(Agent(folder / "memory", reference=str(references[0]), segments=segment_name(0)))
        agent.wait_ready()
        time.sleep(min(IDLE_SECONDS, scale.resident_seconds))
        idle = agent.resident_mib()
        senders = [
            stack.enter_context(Sender(agent.endpoint, traffic, folder / "memory" / traffic.model)) for traffic in wide
        ]
        until = time.monotonic() + scale.resident_seconds
        peak = 0.0
        while time.monotonic() < until:
            for sender in senders:
                sender.send(1)
            peak = max(peak, agent.resident_mib())
            time.sleep(0.3)
        kept, loaded = agent.kept(), agent.resident_mib()
    imports = Samples.of([_imports()[1]])
    yield Line(
        "resident memory, idle",
        "MiB",
        Samples.of([idle]),
        100.0,
        beside=(Beside("bare imports", imports),),
        why=IDLE_WHY,
    )
    yield Line(
        f"resident memory, {scale.wide} features × 3 models × 10 segments",
        "MiB",
        Samples.of([loaded]),
        160.0,
        beside=(Beside("bare imports", imports),),
        why=LOADED_WHY,
        note=f"after {kept:,} records in windows of 1 s, {scale.resident_seconds:.0f} of them; highest {peak:.0f} MiB",
    )


def start(scale: Scale, folder: Path) -> Iterator[Line]:
    """From the process's start until it takes records."""
    number = iter(range(1_000))
    cpu: list[float] = []

    def ours() -> float:
        with Agent(folder / f"start{next(number)}") as agent:
            wall = agent.wait_ready()
            cpu.append(agent.cpu_seconds())
        return wall

    subjects: dict[str, Callable[[], float]] = {"ours": ours, "imports": lambda: _imports()[0]}
    found = in_turns(subjects, scale.starts)
    spent = Samples.of(cpu[1:])
    yield Line(
        "start to ready, wall",
        "s",
        found["ours"],
        1.0,
        beside=(Beside("bare imports", found["imports"]),),
        why=START_WHY,
        note=f"CPU {spent.text('s')}",
    )


def soak(scale: Scale, folder: Path) -> Iterator[Line]:
    """Growth of memory under full load, after the first quarter of it."""
    what = "flat: growth of resident memory over a million records"
    if not scale.soak_seconds:
        yield Line(what, "MiB", None, note="not measured in this run: `python -m bench --soak 60`")
        return
    traffic = Traffic(segments=(SEGMENTS,))
    references = write_reference(traffic, folder / "soak", 2.0)
    with Agent(folder / "soak", reference=str(references), segments=segment_name(0)) as agent:
        agent.wait_ready()
        ours = _grown(agent, agent.endpoint, traffic, folder / "soak", scale.soak_seconds)
        agent.kept()
    empty, endpoint = empty_handler(folder / "soak_empty")
    with empty:
        theirs = _grown(empty, endpoint, traffic, folder / "soak_empty", scale.soak_seconds / 3)
    yield Line(
        what,
        "MiB",
        Samples.of([ours.per_million]),
        beside=(Beside("empty grpc.aio handler", Samples.of([theirs.per_million])),),
        note=f"{ours.before:.1f} to {ours.after:.1f} MiB over {ours.millions:.1f} million records in {SEGMENTS} "
        f"segments, {scale.soak_seconds * 3 / 4:.0f} s of windows of 2 s",
    )


@dataclass(frozen=True, slots=True)
class Growth:
    """Resident MiB after the first quarter of a load and at its end; records between, in millions."""

    before: float
    after: float
    millions: float

    @property
    def per_million(self) -> float:
        return (self.after - self.before) / self.millions


def _grown(process: Process, endpoint: str, traffic: Traffic, folder: Path, seconds: float) -> Growth:
    with Sender(endpoint, traffic, folder) as sender:
        _send_for(sender, seconds / 4)
        before = process.resident_mib()
        messages = _send_for(sender, seconds * 3 / 4)
        time.sleep(1.0)
        return Growth(before, process.resident_mib(), messages * traffic.rows / 1e6)


def _send_for(sender: Sender, seconds: float) -> int:
    """How many messages; at least a hundred."""
    until, sent = time.monotonic() + seconds, 0
    while not sent or time.monotonic() < until:
        sender.send(100, stream=True)
        sent += 100
    return sent


def _imports() -> tuple[float, float]:
    """Wall seconds and MiB of a Python that only imports what the agent needs."""
    code = f"import psutil\n{IMPORTS}\nprint(psutil.Process().memory_info().rss / 2**20)"
    began = time.monotonic()
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return time.monotonic() - began, float(answer.stdout)
