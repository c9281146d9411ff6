"""Writes docs/configuration.md and docs/metrics.md from the code that means them; `--check` says whether they are
fresh."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from agent import config
from agent.config import Option
from agent.telemetry import CATALOGUE, Metric

DOCS = Path(__file__).parent.parent / "docs"
CONFIGURATION = """# Configuration

Everything is an environment variable; with none set the agent still does something useful. `sidelight config` prints
what is in force and where it comes from. A wrong value stops the start with exit code 2 and names the variable.
A list is comma separated. Made from `agent/config/` by `make docs`.

"""
METRICS = """# Metrics

What the agent exports over OTLP, with wall-clock times, cumulative or delta as
`OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE` says, and serves under Prometheus' names at `/metrics`. One event a
closed window, `sidelight.window.closed`, carries its event time. `sidelight.` names are the agent's own, the others
OpenTelemetry's. Every metric about a model carries `sidelight.model.name` and `sidelight.model.version` (and role,
deployment, tenant where the sender gives them) as attributes of the point. Events are log records with an event name;
`docs/runbook.md` has a section for each alert. Made from `agent/telemetry.py` by `make docs`.

| metric | kind | unit | meaning | attributes |
|---|---|---|---|---|
"""


def configuration(rows: Sequence[Option]) -> str:
    """The options as Markdown."""
    lines = [CONFIGURATION, "| variable | default | unit | meaning |\n|---|---|---|---|\n"]
    lines += [
        f"| `{r.variable}` | {f'`{r.default}`' if r.default else ''} | {r.unit} | {_cell(r.about)} |\n" for r in rows
    ]
    return "".join(lines)


def metrics(catalogue: Sequence[Metric]) -> str:
    """The catalogue as Markdown."""
    rows = []
    for m in sorted(catalogue, key=lambda m: (not m.name.startswith("sidelight."), m.name)):
        attributes = ", ".join(f"`{a}`" for a in m.attributes)
        rows.append(f"| `{m.name}` | {m.shape} | `{m.unit}` | {_cell(m.description)} | {attributes} |\n")
    return METRICS + "".join(rows)


def pages() -> dict[Path, str]:
    """Every generated page and what it should hold."""
    groups = (config.Settings.of({}, {}), config.Otel.of({}, {}))
    return {
        DOCS / "configuration.md": configuration(config.options(*groups)),
        DOCS / "metrics.md": metrics(list(CATALOGUE.values())),
    }


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main(arguments: Sequence[str]) -> int:
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text() != text]
    for path in stale:
        if "--check" in arguments:
            print(f"{path.relative_to(DOCS.parent)} is not what the code says: run `make docs`", file=sys.stderr)
        else:
            path.write_text(pages()[path])
            print(f"wrote {path.relative_to(DOCS.parent)}")
    return int(bool(stale) and "--check" in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
