"""Writes what is made from the agent's catalogue for other tools: rules, their unit tests, dashboards; `--check` says
whether they are fresh. The twin of `agent.documentation`, outside the agent's own package: `python -m deploy.generate`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.datadog import dashboard as datadog
from deploy.grafana import dashboards
from deploy.prometheus import rules, simulation

HERE = Path(__file__).parent


def pages() -> dict[Path, str]:
    """Every generated file and what it should hold."""
    return {
        HERE / "prometheus" / "sidelight.rules.yml": rules.text(),
        HERE / "prometheus" / "sidelight.test.yml": simulation.text(),
        HERE / "datadog" / "dashboard.json": datadog.text(),
        HERE / "grafana" / ".lint": dashboards.exclusions(),
        **{HERE / "grafana" / name: dashboards.text(made) for name, made in dashboards.files().items()},
    }


def main(arguments: Sequence[str]) -> int:
    made = pages()
    stale = [path for path, text in made.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        if "--check" in arguments:
            print(f"{path.relative_to(HERE.parent)} is not what the code says: run `make docs`", file=sys.stderr)
        else:
            path.write_text(made[path], encoding="utf-8")
            print(f"wrote {path.relative_to(HERE.parent)}")
    return int(bool(stale) and "--check" in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
