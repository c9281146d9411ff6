"""The command: run, status, ledger, config, reference, feedback."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent import config
from agent.allocator import give_back_large_blocks
from agent.errors import ConfigurationError, SidelightError
from agent.version import VERSION

if TYPE_CHECKING:
    from agent.reference.labelled import SectionMakers

WRONG_CONFIGURATION = 2
UNREACHABLE = 1


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0 fine, 1 nothing there, 2 wrong configuration or input."""
    # Before numpy is imported: its matrix products would take a thread for each of the host's cores, and burn them
    # waiting for one another, beside a model that needs them.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        if (sys.argv[1:] if arguments is None else arguments) == ["run"]:
            return _run()  # what it is started for ten thousand times: without what the other commands import
        chosen = _parser().parse_args(arguments)
        return int(chosen.run(chosen) or 0)
    except SidelightError as error:
        print(f"sidelight: {error}", file=sys.stderr)
        return WRONG_CONFIGURATION
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # a reader such as `head` that has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    from agent.reference import command

    parser = argparse.ArgumentParser(
        prog="sidelight", description="Watches a machine-learning model in production, from beside it."
    )
    parser.add_argument("--version", action="version", version=f"sidelight {VERSION}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="run the agent (options: environment variables, see `sidelight config`)")
    run.set_defaults(run=lambda _: _run())
    status = commands.add_parser("status", help="what arrives, what is learned, what is refused and why")
    status.add_argument("--json", action="store_true", help="the status as JSON")
    status.add_argument("--check", action="store_true", help="only say whether the agent is ready; exit code 0 or 1")
    status.set_defaults(run=_status)
    ledger = commands.add_parser(
        "ledger", help="how the false-alarm dial is split, and the smallest change each check would find"
    )
    ledger.add_argument("--reference", metavar="FILE", help="of a reference (file or URL), before any agent runs")
    ledger.add_argument(
        "--rows-per-window", type=_rows, metavar="ROWS", help="traffic to reckon with (default: as in the reference)"
    )
    ledger.add_argument("--json", action="store_true", help="everything, feature by feature")
    ledger.set_defaults(run=_ledger)
    options = commands.add_parser("config", help="every option with value, default, unit and origin")
    options.add_argument("--markdown", action="store_true", help="as docs/configuration.md")
    options.set_defaults(run=_config)
    written = commands.add_parser("feedback", help="predictions that were captured, each with its truth, as one file")
    written.add_argument("location", help="the folder or URL of SIDELIGHT_CAPTURE")
    written.add_argument("-o", "--output", required=True, type=Path, metavar="FILE", help="Parquet")
    written.set_defaults(run=_feedback)
    export = command.add_arguments(commands, _makers).add_parser(
        "export", help="write a learned reference to a file, so that pods don't relearn"
    )
    export.add_argument("model")
    export.add_argument("--version")
    export.add_argument("-o", "--output", required=True, type=Path)
    export.set_defaults(run=_export)
    return parser


def _makers() -> SectionMakers:
    from agent.sections import SECTIONS

    return SECTIONS


def _feedback(chosen: argparse.Namespace) -> int:
    from agent.capture.reading import write

    rows, reasons = write(chosen.location, chosen.output)
    print(f"{chosen.output}: {rows} rows ({', '.join(f'{count} {why}' for why, count in sorted(reasons.items()))})")
    return 0


def _run() -> int:
    settings, otel = config.load()
    logging.basicConfig(
        level=settings.log_level.upper(), stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    for variable, resembles in config.unknown(os.environ):
        logging.getLogger("sidelight.config").warning(
            "unknown_variable name=%s resembles=%s", variable, resembles or "nothing known"
        )
    give_back_large_blocks()
    gc.disable()  # what imports make stays, and looking for garbage among it takes a seventh of a start
    from agent.app import App

    gc.freeze()
    gc.enable()

    async def serve() -> None:
        await App(settings, otel).run()

    asyncio.run(serve())
    return 0


def _config(chosen: argparse.Namespace) -> int:
    settings, otel = config.load()
    rows = config.options(settings, otel)
    if chosen.markdown:
        from agent.documentation import configuration

        print(configuration(rows), end="")
        return 0
    width = max(len(row.variable) for row in rows)
    for row in rows:
        unit = f" {row.unit}" if row.unit else ""
        default = "" if row.origin == "default" else f", default {row.default or 'unset'}"
        print(f"{row.variable:<{width}}  {row.value or '(unset)'}{unit}  [{row.origin}{default}]")
        print(f"{'':<{width}}    {row.about}")
    return 0


def _status(chosen: argparse.Namespace) -> int:
    code, body = _ask("/readyz" if chosen.check else "/status")
    if not code:
        return UNREACHABLE
    if chosen.check:
        print(body.strip())
        return 0 if code == 200 else UNREACHABLE
    if chosen.json:
        print(body)
        return 0
    from agent.web.terminal import render_status

    print(render_status(json.loads(body), _columns()))
    return 0


def _ledger(chosen: argparse.Namespace) -> int:
    if chosen.reference:
        ledgers = [_of_reference(chosen.reference, chosen.rows_per_window)]
    else:
        if chosen.rows_per_window:
            print("sidelight: --rows-per-window goes with --reference; the agent knows its traffic", file=sys.stderr)
            return WRONG_CONFIGURATION
        code, body = _ask("/ledger")
        if not code:
            return UNREACHABLE
        ledgers = json.loads(body)["ledgers"]
    if chosen.json:
        print(json.dumps(ledgers, indent=2, ensure_ascii=False))
        return 0
    from agent.web.ledger import render_ledger

    if not ledgers:
        print("No model is judged yet: a ledger needs a reference and one closed window. See `sidelight status`.")
    print("\n".join(render_ledger(ledger, _columns()) for ledger in ledgers), end="")
    return 0


def _of_reference(location: str, rows: float | None) -> dict[str, Any]:
    """What an agent with these options would see by this reference."""
    from agent.evaluate import Judge
    from agent.ledger import Dial
    from agent.power.report import cost_of, describe
    from agent.power.service import ASSUMED, sights_without_a_past
    from agent.reference import locate

    logging.getLogger("sidelight").addHandler(logging.NullHandler())  # what a judge logs at start is printed below
    settings, reference = config.load()[0], locate.read(location)
    seconds = settings.window_seconds or reference.layout.window_seconds
    dial = Dial(settings.false_alarms_per_day, settings.replicas)
    judge = Judge(reference, dial, seconds, settings.drift_rule)
    scale = seconds / reference.layout.window_seconds
    usual = rows or float(reference.rows.sum()) / max(len(reference.rows), 1) * scale
    volume, duplicates, latency = (judge.ledger.alpha(name, 0) for name in ("volume", "duplicates", "latency"))
    told = describe(judge, usual, sights_without_a_past((volume, duplicates, latency), usual, seconds), ASSUMED)
    return told | {"fixed_rule": cost_of(judge.fixed.price(round(usual)) if judge.fixed else None)}


def _rows(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 1 <= found <= 1e12:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number of rows, 1 or more")
    return found


def _columns() -> int:
    return shutil.get_terminal_size((100, 24)).columns


def _ask(path: str) -> tuple[int, str]:
    """The running agent's answer; code 0 where none answers, which is said on stderr."""
    settings, _ = config.load()
    if not settings.http:
        raise ConfigurationError("SIDELIGHT_HTTP", "none", "an address: status is read over HTTP")
    try:
        return _get(settings.http, path)
    except OSError as error:
        print(
            f"sidelight: no agent answers at http://{settings.http} ({error}). "
            "Is it running, with the same SIDELIGHT_HTTP?",
            file=sys.stderr,
        )
        return 0, ""


def _get(address: str, path: str) -> tuple[int, str]:
    import http.client

    host, _, port = address.rpartition(":")
    everywhere = {"0.0.0.0": "127.0.0.1", "[::]": "::1"}  # noqa: S104 - listened on, not connected to
    connection = http.client.HTTPConnection(everywhere.get(host, host.strip("[]")), int(port), timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def _export(chosen: argparse.Namespace) -> int:
    """Writes a learned reference to a file, from the state folder: the agent may run meanwhile."""
    from agent.checkpoint.series import learned_references
    from agent.reference import file

    found = learned_references(config.state_path(config.load()[0]) / "state.db")
    wanted = [r for r in found if r.model == chosen.model and (chosen.version is None or r.version == chosen.version)]
    if len(wanted) != 1:
        names = (
            ", ".join(f"{r.model} {r.version}".strip() for r in found)
            or "none yet: `sidelight status` shows how far learning is"
        )
        print(
            f"sidelight: {len(wanted)} learned references fit {chosen.model} {chosen.version or ''}; "
            f"there are: {names}",
            file=sys.stderr,
        )
        return WRONG_CONFIGURATION
    file.export(wanted[0], chosen.output)
    print(f"wrote {chosen.output} ({wanted[0].hash_text}, {int(wanted[0].rows.sum())} rows)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
