"""`python -m examples.flights`: trains, starts agent and model server, replays half a year, says what was found.

Exit code 0: every injected fault was found; 1: one was not, or something broke.
"""

from __future__ import annotations

import argparse
import http.client
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import sidelight
from rich.console import Console
from rich.text import Text

from examples.flights import processes, train
from examples.flights.faults import FAULTS
from examples.flights.processes import DemoError
from examples.flights.replay import HttpPredictor, RecordedLabels, play
from examples.flights.report import report
from examples.flights.screens import Show, shown
from examples.flights.status import Status, Watch
from examples.flights.summary import summarise
from examples.flights.view import Frame

Children = tuple[processes.Child, ...]
DAY_SECONDS = 86_400
SETTLE_SECONDS = 20.0

AGENT_OPTIONS = {
    "SIDELIGHT_TIME": "event",
    "SIDELIGHT_WINDOW_SECONDS": str(DAY_SECONDS),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(".demo"), help="where everything is kept")
    parser.add_argument("--fresh", action="store_true", help="train again, even if a model is there")
    parser.add_argument("--svg", type=Path, help="save a picture of the view here, taken at the last fault")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds, so that the other processes are stopped
    console = Console()
    try:
        return demo(train.Files(options.folder.resolve()), options.fresh, console, options.svg)
    except DemoError as error:
        console.print(Text.assemble(("the demo stopped: ", "bold red"), str(error)), soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("stopped")
        return 130


def demo(files: train.Files, fresh: bool, console: Console, svg: Path | None) -> int:
    """All of it, in order."""
    prepare(files, fresh, console)
    rows = pd.read_parquet(files.replay)
    started = time.monotonic()
    with processes.agent(files.folder, {**AGENT_OPTIONS, **agent_paths(files)}) as agent:
        with processes.model_server(files.folder, agent.endpoint) as (server, port), Watch(agent.url) as watch:
            children = (agent.child, server)
            with shown(console, svg) as show:
                replay(rows, port, agent, watch, children, show)
        # The server is gone and has flushed; now the agent has everything it will get.
        end = settle(watch, agent.child, len(rows))
    summary = summarise(watch.alarms, FAULTS)
    for line in report(summary, len(rows), time.monotonic() - started, end, where_to()):
        console.print(line)
    return 0 if summary.complete else 1


def prepare(files: train.Files, fresh: bool, console: Console) -> None:
    """A trained model and its reference; what is already there is used again."""
    files.folder.mkdir(parents=True, exist_ok=True)
    if fresh or not files.trained:
        with console.status("training on January to June (once)"):
            trained = train.train(files)
        console.print(f"trained on {trained.rows:,} flights; AUC {trained.auc:.3f} on months it had not seen")
    build_reference(files)  # a second's work: always by the agent that will read it
    console.print(f"built the reference {files.reference.name} from the same rows")
    shutil.rmtree(files.state, ignore_errors=True)  # every replay is a first one


def build_reference(files: train.Files) -> None:
    """`sidelight reference build`, as a person would call it."""
    command = [
        *processes.sidelight_command(), "reference", "build", str(files.training), "--output", str(files.reference),
        "--model", train.MODEL, "--version", train.VERSION, "--window", "1d", "--time", "time",
        "--prediction", "prediction", "--score", "score", "--label", "truth", "--positive", train.LATE,
        "--public", "carrier,origin,prediction",  # airlines and airports are no secrets: alerts may name them
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DemoError(f"`sidelight reference build` ended with {done.returncode}:\n{done.stderr[-2000:]}")


def agent_paths(files: train.Files) -> dict[str, str]:
    return {"SIDELIGHT_STATE_DIR": str(files.state), "SIDELIGHT_REFERENCE": str(files.reference)}


def replay(rows: pd.DataFrame, port: int, agent: processes.Agent, watch: Watch, children: Children, show: Show) -> None:
    """The half year, a picture after each hour of it. Raises DemoError when a process died on the way."""
    predictor, note = HttpPredictor(port), f"page {agent.url} · {where_to()}"
    with sidelight.Recorder(train.MODEL, version=train.VERSION, endpoint=agent.endpoint) as recorder:
        try:
            for progress in play(rows, predictor, RecordedLabels(recorder)):
                show(Frame(progress, watch.now, watch.rate, watch.alarms, note))
                for child in children:
                    child.check()
        except (OSError, http.client.HTTPException) as error:
            for child in children:
                child.check()
            raise DemoError(f"the model server does not answer: {error}") from error
        finally:
            predictor.close()


def where_to() -> str:
    """Where the agent sends what it finds, or how to make it."""
    named = (v for k, v in os.environ.items() if k.startswith("OTEL_EXPORTER_OTLP_") and k.endswith("ENDPOINT") and v)
    endpoint = next(named, "")
    return f"exports to {endpoint}" if endpoint else "backend: set OTEL_EXPORTER_OTLP_ENDPOINT"


def settle(watch: Watch, agent: processes.Child, sent: int) -> Status:
    """Waits until the agent has counted all that was sent, or nothing more comes."""
    until = time.monotonic() + SETTLE_SECONDS
    try:
        before, now = Status(), watch.look()
        while time.monotonic() < until and (now.received < sent or now != before):
            time.sleep(0.5)
            before, now = now, watch.look()
    except OSError as error:
        agent.check()
        raise DemoError(f"the agent does not answer: {error}") from error
    return now


if __name__ == "__main__":
    sys.exit(main())
