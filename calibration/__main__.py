"""`make calibration`: simulate, judge, write docs/calibration.md. Exits with 1 when a cell fails."""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from calibration import concept, concept_report, picture, report
from calibration.cache import ROOT, Results, code_hash, folder
from calibration.cells import Cell
from calibration.changes import changes
from calibration.cost import cost
from calibration.dials import dials
from calibration.duel import EFFECTS, cell_of, duel_beside
from calibration.nulls import nulls
from calibration.outcome import found_of, null_of
from calibration.peers import install
from calibration.schedule import Task, simulate
from calibration.versus import Versus, versus

MINUTES = 50.0
# Parts of the time. A duel is one reference before all rules; most of its time is the peers'.
OF_NULLS, OF_DIALS, OF_CHANGES, OF_DUELS = 0.5, 0.06, 0.24, 0.2
DUEL_SECONDS = 100.0
CONCEPT = "concept drift"  # what --only calls the cells of labelled errors
SHORT_NULLS, SHORT_CHANGES = 8, 2  # references of each cell in the short form


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the page and the picture, or (short, or part of it) prints the page."""
    chosen = _parser().parse_args(arguments)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # a process for each core
    began = time.monotonic()

    def say(words: str) -> None:
        print(f"{(time.monotonic() - began) / 60:5.1f} min  {words}", file=sys.stderr, flush=True)

    results = Results(folder(), code_hash())
    seconds = chosen.minutes * 60.0 * chosen.cores
    tasks: list[list[Task]] = []
    for cells, part in ((nulls(), OF_NULLS), (tuple(dials()), OF_DIALS), (changes(), OF_CHANGES)):
        tasks.append(_simulate(_chosen(cells, chosen.only, chosen.short), results, chosen, seconds * part, say))
    quiet, dialled = ([null_of(task) for task in part] for part in tasks[:2])
    simulated = report.Simulated(quiet, dialled, [found_of(task) for task in tasks[2] if task.runs])
    whole = not (chosen.only or chosen.short)
    met: dict[float, Versus] = {}
    if whole and not chosen.no_peers:
        count = max(2, round(seconds * OF_DUELS / DUEL_SECONDS / len(EFFECTS)))
        met = {effect: duels(effect, results, count, chosen.cores, say) for effect in EFFECTS}
    setting = _setting(chosen, [task for part in tasks for task in part])
    of_errors = ""
    if whole or (chosen.only and re.search(chosen.only, CONCEPT)):
        of_errors = concept_report.text(concept.run(say, with_river=not chosen.no_peers))
    page = report.render(setting, simulated, met, cost() if whole else None, of_errors)
    _write(page, picture.draw(quiet, met), chosen.out or (ROOT / "docs" / "calibration.md" if whole else None))
    say(report.verdict(simulated))
    return 1 if simulated.failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m calibration", description=__doc__)
    parser.add_argument("--minutes", type=float, default=MINUTES, help="of all cores together: scales the model-days")
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)), help="processes")
    parser.add_argument("--short", action="store_true", help="some cells, a few minutes: what CI runs")
    parser.add_argument("--only", default="", help="only cells whose names this expression finds")
    parser.add_argument("--no-peers", action="store_true", help="leave the peers out")
    parser.add_argument("--out", type=Path, help="where the page goes, the picture beside it")
    return parser


def _chosen(cells: Sequence[Cell], only: str, short: bool) -> list[Cell]:
    return [cell for cell in cells if re.search(only, cell.name) and (cell.short or not short)]


def _simulate(
    cells: Sequence[Cell], results: Results, chosen: argparse.Namespace, seconds: float, say: Callable[[str], None]
) -> list[Task]:
    if not cells:
        return []
    say(f"{len(cells)} {'changes' if cells[0].change else 'cells in which nothing happens'}")
    if chosen.short:
        count = SHORT_NULLS if cells[0].change is None else SHORT_CHANGES
        return simulate(cells, results, 0.0, chosen.cores, say, count)
    return simulate(cells, results, seconds, chosen.cores, say)


def duels(effect: float, results: Results, count: int, cores: int, say: Callable[[str], None]) -> Versus:
    """So many references, on as many processes as there are cores."""
    python = install()
    keys = [f"duel-{cell_of(effect).key}-{'with' if python else 'without'}-{seed}" for seed in range(count)]
    found = {seed: figures for seed, key in enumerate(keys) if (figures := results.figures(key)) is not None}
    say(f"{count} references beside the peers, window effect {effect:g} σ, {len(found)} of them known")
    with ProcessPoolExecutor(cores, mp_context=get_context("spawn")) as pool:
        missing = [seed for seed in range(count) if seed not in found]
        for seed, figures in zip(missing, pool.map(partial(duel_beside, effect, python), missing), strict=True):
            results.keep(keys[seed], figures)
            found[seed] = figures
            say(f"reference {seed} done")
    return versus([found[seed] for seed in range(count)])


def _write(page: str, drawing: str, target: Path | None) -> None:
    if target is None:
        print(page)
        return
    target.write_text(page)
    target.with_suffix(".svg").write_text(drawing)
    print(f"written: {target}", file=sys.stderr)


def _setting(chosen: argparse.Namespace, tasks: Sequence[Task]) -> report.Setting:
    return report.Setting(
        machine=f"{chosen.cores} cores, Python {platform.python_version()}, numpy {np.__version__}",
        commit=_commit(),
        code=code_hash(),
        minutes=chosen.minutes,
        runs=sum(len(task.runs) for task in tasks),
        reused=sum(task.reused for task in tasks),
        seconds=sum(run.cpu_seconds for task in tasks for run in task.runs),
    )


def _commit() -> str:
    """Of the code that ran, and whether it differs from it."""
    changed = _git("status", "--porcelain", "--untracked-files=no", "agent", "calibration")
    found = _git("rev-parse", "--short", "HEAD") or "unknown"
    return f"{found} with changes" if changed else found


def _git(*arguments: str) -> str:
    found = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return found.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
