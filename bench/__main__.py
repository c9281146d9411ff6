"""`python -m bench`: measures the budgets and writes docs/benchmarks.md; never fails because a figure is poor."""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench import adding, client, closing, exporting, following, ingest, joining, machine, pace, report, resident
from bench.line import Line
from bench.processes import BenchError
from bench.scale import DEFAULT, ROOT, TINY, WORK, Scale

Section = Callable[[Scale, Path], Iterator[Line]]
SECTIONS: dict[str, Section] = {
    "bulk": ingest.bulk,
    "rows": ingest.rows,
    "single": ingest.single,
    "client": client.client,
    "added": adding.added,
    "vectors": adding.vectors,
    "segments": adding.segments,
    "labels": ingest.labels,
    "join": joining.join,
    "closing": closing.closing,
    "evaluating": closing.evaluating,
    "following": following.following,
    "exporting": exporting.exporting,
    "beside_exports": exporting.beside_ingest,
    "memory": resident.memory,
    "start": resident.start,
    "soak": resident.soak,
}


def run(scale: Scale, names: Sequence[str]) -> list[Line]:
    """Measures these sections, one after the other; says how each comes along on stderr."""
    WORK.mkdir(exist_ok=True)
    # Sockets lie in it, and their paths may have 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=WORK))
    found: list[Line] = []
    try:
        for name in names:
            began = time.monotonic()
            try:
                lines = list(SECTIONS[name](scale, folder))
            except BenchError as error:  # the other sections' figures are still worth having
                print(f"{name}: {error}", file=sys.stderr)
                lines = [Line(f"section {name}", "", note=f"failed: {str(error).splitlines()[0]}")]
            print(f"{name}: {time.monotonic() - began:.0f} s\n{report.table(lines)}", file=sys.stderr, flush=True)
            found += lines
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return found


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", default=",".join(SECTIONS), help=f"sections, comma separated: {', '.join(SECTIONS)}")
    parser.add_argument(
        "--soak", type=float, default=0.0, metavar="SECONDS", help="also load an agent for so long and watch its memory"
    )
    parser.add_argument(
        "--tiny", action="store_true", help="everything once and small: shows that it runs, measures nothing"
    )
    parser.add_argument(
        "--out", type=Path, help="where the page goes; default docs/benchmarks.md, or stdout where not all was measured"
    )
    chosen = parser.parse_args(arguments)
    names = chosen.only.split(",")
    if unknown := [name for name in names if name not in SECTIONS]:
        parser.error(f"--only: no section {unknown[0]!r}")
    scale = dataclasses.replace(TINY if chosen.tiny else DEFAULT, soak_seconds=chosen.soak)
    began, load, parse = time.monotonic(), machine.load(), pace.now()
    lines = run(scale, names)
    page = report.render(
        lines,
        report.Setting(
            machine.machine(),
            machine.commit(),
            (load, machine.load()),
            (parse, pace.now()),
            time.monotonic() - began,
        ),
    )
    whole = set(names) >= set(SECTIONS) and not chosen.tiny
    target = chosen.out or (ROOT / "docs" / "benchmarks.md" if whole else None)
    if target is None:
        print(page)
    else:
        target.write_text(page)
        print(f"written: {target}", file=sys.stderr)
    return 1 if any(line.what.startswith("section ") for line in lines) else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["profile"]:
        from bench.stations import profile

        sys.exit(profile(sys.argv[2:]))
    sys.exit(main())
