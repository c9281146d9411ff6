"""`python -m bench profile [bulk|rows]`: CPU of each station a record passes, and a sampled profile of a real agent.

The stations are timed in this process, on the agent's own code, door and counting one after the other; what the real
process takes beyond their sum is transport, the event loop, and closing windows. With py-spy installed, its samples of
the real process are kept and summed up too.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from agent.app import App
from agent.config import Otel, Settings
from agent.counting.windows import Series
from agent.ingest.casts import Cast
from agent.ingest.queue import GATHER_ROWS, put_together
from agent.ingest.rows import Gathering
from agent.ingest.together import TOGETHER_ROWS, Together
from agent.labels.desk import Bounds, Desk
from agent.records import Batch, ModelKey
from bench.line import number
from bench.processes import Agent, Sender, cpu_microseconds
from bench.scale import ROOT, WORK
from bench.stopwatch import Stopwatch
from bench.traffic import RING, Traffic, messages, reference, stamp, write_reference

TOP = 30
WIDE_RING = 8 * RING
BUSY_ROWS = 1_000_000  # a window: heavy traffic, of which sketches and projections take a sample
DUPLICATES = ("duplicates: ids to hashes", "duplicates: samples", "duplicates: rows to hashes")
WHOLE = "vectors and whole rows: projected"
WAITING = ("label join: a prediction waits", "label join: rows sorted and merged behind")
TRAFFIC = {"bulk": Traffic(), "rows": Traffic(body="rows", rows=100)}
# The stations in the order a record passes them; each without what stands further down. Names of the agent's own
# functions, private ones among them: a name that is gone is an error here, and nowhere else.
STATIONS = {
    "agent.ingest.admission:Admission.handle": "door: rest of handle",
    "agent.ingest.admission:Admission._open": "door: twin parse, model",
    "agent.ingest.admission:Moulds.find": "columns: of a known mould?",
    "agent.ingest.admission:Moulds.learn": "columns: moulds learned",
    "agent.ingest.admission:Admission._resent": "door: seen before?",
    "agent.ingest.admission:Admission._take": "door: verdict, answer",
    "agent.ingest.admission:Reader.batch": "columns: rest of batch",
    "agent.ingest.admission:Reader._check_shape": "columns: shape",
    "agent.ingest.admission:Reader._numbers": "columns: number arrays",
    "agent.ingest.admission:Reader._texts": "columns: text arrays",
    "agent.ingest.admission:Admission._rows": "rows: loop",
    "agent.ingest.admission:Shapes.read": "rows: read together",
    "agent.ingest.admission:parse": "rows: protobuf parse",
    "agent.ingest.rows:Gathering.add": "rows: rest of add",
    "agent.ingest.fields:Field.read": "rows: map values",
    "agent.ingest.rows:Gathering._outputs": "rows: outputs",
    "agent.ingest.columns:Reader._hashes": DUPLICATES[0],
    "agent.ingest.journal:Journal.append": "journal: frame, checksum, write",
    "agent.ingest.clients:Clients.remember": "door: remember the answer",
    "agent.ingest.rows:Gathering.batch": "gathered: rest of batch",
    "agent.ingest.fields:number_columns": "gathered: numbers to arrays",
    "agent.ingest.fields:text_columns": "gathered: texts to codes",
    "agent.ingest.rows:batch": "gathered: read together, to arrays",
    "agent.ingest.alike:identities": "gathered: ids to hashes",
    "agent.ingest.rows:Gathering._output_columns": "gathered: outputs to arrays",
    "agent.ingest.together:Together.batch": "count: messages put together",
    "agent.ingest.together:batch_of": "count: messages of a mould to arrays",
    "agent.counting.windows:Series.add": "count: rest of add",
    "agent.bins.layout:Layout.place": "count: rest of place",
    "agent.bins.layout:Layout._place_full": "count: numbers to cells",
    "agent.bins.layout:place": "count: texts to cells",
    "agent.bins.layout:Layout._project": WHOLE,
    "agent.bins.placing:Placed.count": "count: cells to counts",
    "agent.counting.windows:Series._fingerprint": DUPLICATES[1],
    "agent.counting.fingerprints:Fingerprinter.rows": DUPLICATES[2],
    "agent.counting.windows:Series._add_latency": "count: latency histogram",
    "agent.counting.texts:WindowTexts.add": "count: text sketches",
    "agent.counting.number_sketches:NumberSketches.feed": "count: sketches, choosing",
    "agent.sketches.quantiles:Quantiles.update": "count: sketches, KLL",
    "agent.labels.desk:Desk.predicted": WAITING[0],
    "agent.labels.desk:Desk.work_now": WAITING[1],
}


class Busy(Series):
    """A series whose windows hold so many rows, however fast this machine is."""

    def _expected_rows(self, *_: object) -> int:
        return BUSY_ROWS


class Stations:
    """Door and counting of one series, without server and loop; frames are taken as the pipeline takes them."""

    def __init__(self, traffic: Traffic, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # Rows that come again and again would all be in the samples that busy windows keep a thousandth of.
        ring = RING if traffic.vector or traffic.body == "rows" else WIDE_RING
        self._traffic, self._ring, self._sequence = traffic, messages(traffic, ring), itertools.count(1)
        settings = Settings(
            state_dir=str(folder / "state"),
            endpoint=f"unix:{folder / 'p.sock'}",
            http="none",
            collectors=(),
            journal_bytes_max=4 << 30,
        )
        self._app = App(settings, Otel(sdk_disabled=True))
        for _ in self._app.journal.open(0):
            pass
        self._known = reference(traffic, 3600.0)
        self._series = Busy(ModelKey(traffic.model, "1"), 3600 * 10**9, self._known, None)
        bounds = Bounds(30 * 86_400 * 10**9, 3_600 * 10**9, 2 << 30, 3_600 * 10**9)
        self._desk = Desk(ModelKey(traffic.model), folder / "labels", bounds)

    def run(self, count: int) -> None:
        """Takes so many messages and counts them, as many records at a time as the pipeline does."""
        every = max(1, (GATHER_ROWS if self._traffic.body == "rows" else TOGETHER_ROWS) // self._traffic.rows)
        for i in range(count):
            sequence = next(self._sequence)
            self._app.admission.handle(self._ring[sequence % len(self._ring)] + stamp("stations", sequence))
            if i % every == every - 1:
                self._count()
        journal = self._app.journal
        journal.cut(journal.offset)  # as after a checkpoint

    def _count(self) -> None:
        done: set[int] = set()
        taken = self._app.queue.take()
        put_together(taken, lambda _: self._series.window_ns)
        for item in taken:
            if item.content is not None and id(item.content) not in done:
                done.add(id(item.content))
                batch = _batch(item.content)
                self._series.add(batch, False)
                self._desk.predicted(batch)
                self._desk.work_now()
            self._app.queue.done(item)

    def measure(self, count: int) -> Iterator[tuple[str, float, float]]:
        """(station, µs a record, calls a message), first the dearest."""
        self.run(50)
        with Stopwatch(STATIONS) as watch:
            self.run(count)
        for name, spent in sorted(watch.own_ns.items(), key=lambda found: -found[1]):
            yield name, spent / 1e3 / (count * self._traffic.rows), watch.calls[name] / count


def _batch(content: Batch | Cast | Gathering | Together) -> Batch:
    return content if isinstance(content, Batch) else content.batch()


def profile(arguments: list[str]) -> int:
    """Prints the stations, then the samples."""
    parser = argparse.ArgumentParser(prog="python -m bench profile", description=__doc__)
    parser.add_argument("what", nargs="?", choices=sorted(TRAFFIC), default="bulk")
    parser.add_argument(
        "--messages",
        type=int,
        default=1000,
        help="taken by the stations; thrice as many sent to the agent py-spy looks at",
    )
    chosen = parser.parse_args(arguments)
    traffic = TRAFFIC[chosen.what]
    WORK.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=WORK))
    try:
        found = list(Stations(traffic, folder).measure(chosen.messages))
        print(f"{'µs':>8} {'calls':>7}  station ({chosen.what}: µs a record, calls a message)")
        for station, cost, calls in found:
            print(f"{number(cost):>8} {calls:>7.1f}  {station}")
        print(f"{number(sum(cost for _, cost, _ in found)):>8} {'':>7}  together")
        sampled(traffic, folder, 3 * chosen.messages, WORK / f"profile-{chosen.what}.txt")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def sampled(traffic: Traffic, folder: Path, count: int, target: Path) -> None:
    """Loads a real agent, with py-spy on it where it is installed; prints where its samples lie."""
    spy = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which("py-spy")
    references = write_reference(traffic, folder, 5.0)
    with Agent(folder / "agent", reference=str(references)) as agent:
        agent.wait_ready()
        with Sender(agent.endpoint, traffic, folder) as sender:
            cpu_microseconds(agent, sender, count // 5, stream=True)
            print(f"{number(cpu_microseconds(agent, sender, count, stream=True)):>8} {'':>7}  the real process, stream")
            if spy is None:
                print("py-spy is not installed: no samples")
                return
            watching = subprocess.Popen(
                [
                    spy,
                    "record",
                    "--pid",
                    str(agent.pid),
                    "--gil",
                    "--format",
                    "raw",
                    "--rate",
                    "250",
                    "--output",
                    str(target),
                    "--duration",
                    "3600",
                ],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            cpu_microseconds(agent, sender, count, stream=True)
            watching.send_signal(2)
            watching.wait(60)
    if not target.exists():
        print("py-spy gave no samples: it may need the right to trace (CAP_SYS_PTRACE)")
        return
    print(f"\nsamples of Python at work (collapsed stacks): {target.relative_to(ROOT)}\n{'own':>6} {'with':>6}")
    for name, own, whole in shares(target.read_text()):
        print(f"{own:>6.1%} {whole:>6.1%}  {name}")


def shares(stacks: str) -> list[tuple[str, float, float]]:
    """(function, share of samples in it, share in it and what it calls) of collapsed stacks, the busiest first."""
    own: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    for line in stacks.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = [frame.rpartition(":")[0] or frame for frame in stack.split(";")]
        own[frames[-1]] += int(count)
        whole.update({frame: int(count) for frame in set(frames)})
    total = sum(own.values()) or 1
    return [(name, own[name] / total, whole[name] / total) for name, _ in own.most_common(TOP)]
