"""`sidelight reference build` and `show`: options to a request, a request to a file, a file to a table for people."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.errors import SidelightError, UnusableReferenceError
from agent.reference import locate, schema, schema_text
from agent.reference.build import Built, build
from agent.reference.features import schema_of
from agent.reference.file import SUFFIX, encode, write, write_whole
from agent.reference.labelled import SectionMakers
from agent.reference.plan import Request
from agent.reference.profile import Reference
from agent.reference.report import headline, horizons, table

Progress = Callable[[str, float], None]
Makers = Callable[[], SectionMakers]  # asked when a reference is built: other commands need not import them


def add_arguments(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], makers: Makers = lambda: ()
) -> argparse._SubParsersAction[Any]:
    """Adds `reference` with `build` and `show`, each with `run` in its namespace; returns its subparsers for more.

    makers: of the sections that `build` makes of rows with a label.
    """
    parser = commands.add_parser("reference", help="what a model's world looked like when it was right")
    inner = parser.add_subparsers(dest="reference_command", required=True)
    _add_build(inner, makers)
    show = inner.add_parser("show", help="print what a reference holds")
    show.add_argument("reference", help="a file or URL")
    show.set_defaults(run=run_show)
    said = inner.add_parser("schema", help="print a reference's schema, with its rules, for you to correct")
    said.add_argument("reference", help="a file or URL")
    said.set_defaults(run=run_schema)
    return inner


def run_build(options: argparse.Namespace) -> int:
    """Builds and writes the reference and the schema beside it; 0, or 2 with one line on stderr."""
    return _reported(lambda: _build(options))


def run_show(options: argparse.Namespace) -> int:
    """Prints a reference; 0, or 2 with one line on stderr."""
    return _reported(lambda: _print(locate.read(options.reference)))


def run_schema(options: argparse.Namespace) -> int:
    """Prints a reference's schema; 0, or 2 with one line on stderr."""
    return _reported(lambda: print(schema_text.render(schema_of(locate.read(options.reference))), end=""))


def _reported(act: Callable[[], None]) -> int:
    try:
        act()
    except BrokenPipeError:  # a reader such as `head`: the command line's own affair
        raise
    except (SidelightError, OSError) as error:
        print(f"sidelight reference: {error}", file=sys.stderr)
        return 2
    return 0


def _add_build(inner: argparse._SubParsersAction[argparse.ArgumentParser], makers: Makers) -> None:
    parser = inner.add_parser("build", help="make a reference from training or validation data (CSV, Parquet)")
    add = parser.add_argument
    add("data", nargs="+", help="files, folders or patterns; CSV or Parquet; any size")
    add("--model", required=True, help="the model's name, as its records carry it")
    add("--version", required=True, help="the model's version, as its records carry it")
    add("-o", "--output", required=True, metavar="FILE", help=f"the reference to write (*{SUFFIX})")
    add("--time", default="", metavar="COLUMN", help="when each row happened: timestamps, ISO 8601, or seconds")
    add("--window", default="", metavar="DURATION", help="length of a window: 3600, 15m, 1h, 1d (default 1h)")
    add("--prediction", default="", metavar="COLUMN", help="what the model answered: a class or a number")
    add("--score", default="", metavar="COLUMN", help="its score, of the positive class")
    add("--label", default="", metavar="COLUMN", help="what was right")
    add("--id", default="", metavar="COLUMN", help="prediction ids: not a feature")
    for name, text in (
        ("segments", "columns to watch the model by, not features"),
        ("protected", "columns for fairness, not features, never exported raw"),
        ("vector", "columns of embeddings: lists of numbers"),
        ("ignore", "features that are counted and never judged"),
        ("features", "the only features (default: every other column)"),
        ("public", "features whose category names may leave the pod"),
        ("critical", "features with a larger part of the false-alarm budget"),
    ):
        add(f"--{name}", default=[], type=_names, action="extend", metavar="COLUMNS", help=f"{text}; a,b,c")
    add("--task", default="", choices=sorted(schema.TASKS), help="kind of model (default: as the labels look)")
    add("--positive", default="", metavar="LABEL", help="binary tasks: the positive label")
    add("--trained-at", default="", metavar="TIME", help="when the model was trained: ISO 8601")
    add("--schema", default="", metavar="FILE", help="a schema file you have edited: it goes before what the data say")
    parser.set_defaults(run=run_build, makers=makers)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _request(options: argparse.Namespace) -> Request:
    return Request(
        data=tuple(options.data),
        model=options.model,
        version=options.version,
        time=options.time,
        prediction=options.prediction,
        score=options.score,
        label=options.label,
        id=options.id,
        segments=tuple(options.segments),
        protected=tuple(options.protected),
        vectors=tuple(options.vector),
        ignore=tuple(options.ignore),
        features=tuple(options.features),
        public=tuple(options.public),
        critical=tuple(options.critical),
        window_seconds=_duration(options.window),
        task=schema.TASKS.get(options.task, 0),
        positive=options.positive,
        trained_at_ns=_moment_ns(options.trained_at),
        schema=schema.load(options.schema) if options.schema else schema.Schema(),
    )


def _duration(text: str) -> float:
    try:
        return schema.duration_seconds(text) if text else 0.0
    except ValueError as error:
        raise UnusableReferenceError(f"--window {error}") from None


def _moment_ns(text: str) -> int:
    if not text:
        return 0
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UnusableReferenceError(f"--trained-at {text!r}: expected a time such as 2026-01-31T12:00:00Z") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()) * 1_000_000_000


def _build(options: argparse.Namespace) -> None:
    output = Path(options.output)
    if not output.parent.is_dir():
        raise UnusableReferenceError(f"{output.parent}: there is no such folder to write to")
    with _shown_progress() as progress:
        built = build(_request(options), progress, makers=options.makers())
    write(built.reference, output)
    for note in built.notes:
        print(f"note: {note}", file=sys.stderr)
    _write_schema(options, built, output.with_suffix(".schema.toml"))
    size = len(encode(built.reference))
    print(f"{output}: {headline(built.reference)}, {size / 1024:.0f} KiB")
    print(horizons(built.reference))


def _write_schema(options: argparse.Namespace, built: Built, beside: Path) -> None:
    if options.schema:
        return
    text = schema_text.render(built.schema)
    if beside.exists() and beside.read_text(encoding="utf-8", errors="replace") != text:
        print(f"note: {beside} is kept as it is and was not used; use it with --schema {beside}", file=sys.stderr)
        return
    write_whole(beside, text.encode())
    print(f"{beside}: what was found of the features, for you to correct and give back with --schema")


@contextmanager
def _shown_progress() -> Iterator[Progress]:
    """A bar where somebody watches and rich is there, else a line for each pass."""
    if sys.stderr.isatty():
        try:
            from rich.console import Console
            from rich.progress import Progress as Bars
        except ImportError:
            pass
        else:
            with Bars(console=Console(stderr=True), transient=True) as bars:
                tasks: dict[str, Any] = {}

                def draw(words: str, share: float) -> None:
                    task = tasks.get(words)
                    if task is None:
                        task = tasks[words] = bars.add_task(words, total=1.0)
                    bars.update(task, completed=share)

                yield draw
            return
    said: set[str] = set()

    def tell(words: str, _share: float) -> None:
        if words not in said:
            said.add(words)
            print(f"reading the data for {words}", file=sys.stderr)

    yield tell


def _print(reference: Reference) -> None:
    print(headline(reference))
    rows: Sequence[Sequence[str]] = table(reference)
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        for row in rows:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    else:
        drawn = Table(*rows[0])
        for row in rows[1:]:
            drawn.add_row(*row)
        Console(width=None if sys.stdout.isatty() else 120, markup=False).print(drawn)
    print(horizons(reference))
