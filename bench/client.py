"""What recording adds to the thread that predicts, with the Python client and a real agent behind it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.line import Beside, Line, Samples, quantile
from bench.processes import Agent, Process
from bench.scale import ROOT, Scale
from bench.traffic import Traffic, write_reference

CALL_WHY = (
    "beside the copy a call asks each value of a dict whether it can change, and builds one tuple and one id; the rest "
    "is this machine's Python, cold caches after the prediction, and its other processes."
)
P99_WHY = "the sender's thread holds the interpreter while it encodes; on a shared machine the scheduler adds its own."
BUSY_WHY = (
    "p99.9 of some thousand predictions is their slowest handful: on a shared machine mostly what others did just then."
)


def client(scale: Scale, folder: Path) -> Iterator[Line]:
    """record() by dict and by 1-D row; then predictions of half a millisecond with and without it."""
    folder = folder / "client"
    references = write_reference(Traffic(), folder, 60.0)
    with Agent(folder, reference=str(references)) as agent:
        agent.wait_ready()
        with Process(
            "bench.client_child", [agent.endpoint], folder, PYTHONPATH=f"{ROOT}:{ROOT / 'clients/python/src'}"
        ) as child:
            child.ask("")
            rounds = [_round(child, scale) for _ in range(scale.repeats + 1)][1:]
        agent.kept()

    def samples(key: str) -> Samples:
        paces = [one[f"{key.partition('_')[0]}_pace"] for one in rounds]
        return Samples.of([one[key] for one in rounds], paces)

    beside = (
        Beside("dict.copy() and uuid4()", samples("floor_p50")),
        Beside("20 OpenTelemetry histograms", samples("histograms_p50")),
    )
    for kind, text in (("dict", "a dict"), ("row", "a 1-D row")):
        yield Line(
            f"Python client, {text} of 20 values, p50", "µs", samples(f"{kind}_p50"), 1.5, beside=beside, why=CALL_WHY
        )
        yield Line(
            f"Python client, {text} of 20 values, p99",
            "µs",
            samples(f"{kind}_p99"),
            10.0,
            beside=(Beside("dict.copy() and uuid4(), p99", samples("floor_p99")),),
            why=P99_WHY,
        )
    yield busy(
        [one for found in rounds for one in found["with"]], [one for found in rounds for one in found["without"]]
    )


def busy(recorded: list[float], bare: list[float]) -> Line:
    """The tail of all rounds' predictions together: one round has too few of them for a p99.9."""
    return Line(
        "a busy prediction's p99.9, recorded",
        "ms",
        Samples.of([quantile(recorded, 0.999)]),
        1.05,
        relative=True,
        beside=(Beside("not recorded", Samples.of([quantile(bare, 0.999)])),),
        why=BUSY_WHY,
        note=f"{len(recorded):,} predictions each way, in turns; "
        f"medians {quantile(recorded, 0.5):.2f} and {quantile(bare, 0.5):.2f} ms",
    )


def _round(child: Process, scale: Scale) -> dict[str, Any]:
    found: dict[str, Any] = child.ask(json.dumps({"calls": scale.client_calls, "predictions": scale.predictions}))
    return found
