"""Which run next: every cell gets its part of the time, on as many processes as there are cores.

Time is the processes' own CPU, so that a busy machine changes how long it takes and not what is simulated. A run that
is already known counts with the time it took then.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field

from calibration.cache import Results
from calibration.cells import Cell
from calibration.drive import MeasureFailedError, Run, run

REFERENCES_MIN = 3  # of a cell, whatever they cost


@dataclass(slots=True)
class Task:
    """One cell's runs: those known, those under way, and its allotment: of CPU seconds, or (seconds 0) of references.

    reused: runs known from before; broken: why it cannot run; failed: for a fault of the product.
    """

    cell: Cell
    seconds: float
    references: int
    runs: list[Run]
    reused: int
    under_way: set[int] = field(default_factory=set)
    broken: str = ""
    failed: bool = False

    @property
    def spent(self) -> float:
        """Share of the allotment, runs under way at the mean of the known ones; below 0 until there are enough."""
        if not self.seconds:
            return (len(self.runs) + len(self.under_way)) / self.references
        known = sum(r.cpu_seconds for r in self.runs)
        mean = known / len(self.runs) if self.runs else 0.0
        if len(self.runs) + len(self.under_way) < self.references:
            return -1.0
        return (known + (len(self.under_way) + 0.5) * mean) / self.seconds

    def next_seed(self) -> int:
        taken = {r.seed for r in self.runs} | self.under_way
        return next(seed for seed in range(len(taken) + 1) if seed not in taken)


def simulate(
    cells: Sequence[Cell], results: Results, seconds: float, cores: int, say: Callable[[str], None],
    references: int = REFERENCES_MIN,
) -> list[Task]:  # fmt: skip
    """All cells, their time in proportion to their weights. seconds: of CPU, over all cores; 0: only so many
    references of each cell."""
    whole = sum(cell.weight for cell in cells)
    tasks = []
    for cell in cells:
        known = results.of(cell.key)
        tasks.append(Task(cell, seconds * cell.weight / whole, references, known, len(known)))
    # A fresh interpreter each: numpy's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(cores, mp_context=context) as pool:
        _work(tasks, results, pool, cores, say)
    return tasks


def _work(
    tasks: Sequence[Task], results: Results, pool: ProcessPoolExecutor, cores: int, say: Callable[[str], None]
) -> None:
    running: dict[Future[Run], Task] = {}
    done = 0
    while True:
        # Two more than there are cores, so that none waits for the parent.
        while len(running) < cores + 2 and (task := _next(tasks)) is not None:
            seed = task.next_seed()
            task.under_way.add(seed)
            running[pool.submit(run, task.cell, seed)] = task
        if not running:
            return
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            task = running.pop(future)
            _take(task, future, results)
            done += 1
            if done % 50 == 0:
                say(f"{done} runs, {sum(t.spent >= 1.0 or bool(t.broken) for t in tasks)} of {len(tasks)} cells done")


def _next(tasks: Sequence[Task]) -> Task | None:
    """The cell that is furthest behind."""
    waiting = [task for task in tasks if not task.broken and task.spent < 1.0]
    return min(waiting, key=lambda task: task.spent, default=None)


def _take(task: Task, future: Future[Run], results: Results) -> None:
    try:
        found = future.result()
    except FileNotFoundError as error:  # the data of a package that is not installed
        task.broken = str(error)
        return
    except MeasureFailedError as error:
        task.broken, task.failed = str(error).splitlines()[0], True
        return
    task.under_way.discard(found.seed)
    task.runs.append(found)
    results.add(task.cell.key, found)
