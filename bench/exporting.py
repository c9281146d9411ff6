"""What an export of all metrics costs: points, encoding and spooling, as a share of the time between two of them."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from agent.app import App
from agent.config import Otel, Settings
from agent.export import spool
from bench.line import Beside, Line, Samples, in_turns, quantile
from bench.processes import Agent, Sender, empty_handler
from bench.scale import Scale
from bench.traffic import Traffic, messages, stamp, write_reference

MODELS = 3
INTERVAL_SECONDS = 15.0
WINDOW_NS = 3_600 * 10**9
CALL_ROWS, PAUSE_SECONDS = 100, 0.01
NOBODY = "http://127.0.0.1:9"  # the discard port: nothing is delivered, everything is spooled
VARIABLE = "exporter_otlp_metrics_temporality_preference"
WHY = "each point is put together in Python; one that is new since the last export is encoded whole."
P99_WHY = "an export gives the loop its turn every 1 ms: a call that comes meanwhile waits for several."


def beside_ingest(scale: Scale, folder: Path) -> Iterator[Line]:
    """Latency of calls, one at a time, to an agent that exports three wide models and to one that exports nothing."""
    wide = [dataclasses.replace(Traffic(rows=CALL_ROWS).wide(scale.wide), model=f"wide-{n}") for n in range(MODELS)]
    with ExitStack() as stack:
        backend, endpoint = empty_handler(folder / "backend")
        stack.enter_context(backend)
        ways = {
            "on": {
                "otel_exporter_otlp_metrics_endpoint": endpoint,
                "otel_metric_export_interval": f"{scale.export_seconds * 1e3:.0f}",
            },
            "off": {},
        }
        found: dict[str, Callable[[], float]] = {}
        for name, options in ways.items():
            for each in wide:
                references = write_reference(each, folder / name, WINDOW_NS / 1e9)
            agent = stack.enter_context(Agent(folder / name, reference=str(references), collectors="none", **options))
            agent.wait_ready()
            senders = [stack.enter_context(Sender(agent.endpoint, each, folder / name)) for each in wide]
            for sender in senders:
                sender.send(5)
            found[name] = functools.partial(_p99, senders[0], scale.export_seconds)
        spent = in_turns(found, scale.repeats)
    yield Line(
        f"a call of {CALL_ROWS} records × {scale.wide} features, p99, while {MODELS} such models are exported",
        "ms", spent["on"], 1.2, relative=True, beside=(Beside("nothing exported", spent["off"]),), why=P99_WHY,
        note=f"one export every {scale.export_seconds:g} s, over gRPC; calls {PAUSE_SECONDS * 1e3:g} ms apart",
    )  # fmt: skip


def _p99(sender: Sender, seconds: float) -> float:
    """Milliseconds; over a time that holds one export wherever it begins."""
    found = sender.send(1, seconds=seconds, pause_seconds=PAUSE_SECONDS)
    return quantile([latency for _, latency in found], 0.99) * 1e3


def exporting(scale: Scale, folder: Path) -> Iterator[Line]:
    """CPU of this process for one export of three judged models, in percent of a core at one every 15 s."""
    for preference in ("cumulative", "delta"):
        percent, points = asyncio.run(_measure(scale, folder / f"exporting-{preference}", preference))
        yield Line(
            f"export of {MODELS} models × {scale.wide} features every {INTERVAL_SECONDS:g} s, {preference}",
            "% of a core",
            Samples.of(percent),
            2.0,
            why=WHY,
            note=f"{points} points in an export on average, the spool's transaction included",
        )


async def _measure(scale: Scale, folder: Path, preference: str) -> tuple[list[float], int]:
    """Percent of a core for each of the repeats, and points an export."""
    traffic = [dataclasses.replace(Traffic().wide(scale.wide), model=f"wide-{n}") for n in range(MODELS)]
    references = [write_reference(each, folder, WINDOW_NS / 1e9) for each in traffic]
    app = App(
        Settings(
            state_dir=str(folder / "state"), endpoint=f"unix:{folder / 'x.sock'}", http="none", collectors=(),
            reference=str(references[0]),
        ),
        Otel.of({"exporter_otlp_metrics_endpoint": f"{NOBODY}/v1/metrics", VARIABLE: preference}),
    )  # fmt: skip
    app.store.open()
    await app.exporter.open()
    await app.pipeline.recover(app.admission)
    rings, now_ns = [messages(each, 4) for each in traffic], app.clock.now_ns()
    found = []
    for number in range(scale.repeats + 2):
        for model, ring in enumerate(rings):
            app.admission.handle(ring[number % len(ring)] + stamp(f"exporting-{model}", number + 1))
        if number == 0:
            app.admission.tick(now_ns + 2 * WINDOW_NS)  # so that there is something to say of drift and quality
        app.pipeline.stop()
        await app.pipeline.run()
        began = time.process_time()
        await app.exporter.put_metrics(app._points())
        found.append((time.process_time() - began) / INTERVAL_SECONDS * 100)
    await app.exporter.count()
    produced = app.exporter.statistics()[spool.METRICS].produced
    app.journal.close()
    app.store.close()
    return found[2:], produced // len(found)
