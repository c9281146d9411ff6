"""Prometheus 3 with its OTLP receiver, and its query API."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration.servers import Server, get
from tests.ports import free_port


@dataclass(frozen=True)
class Series:
    """One series: its labels, and its samples as (milliseconds since 1970, value or native histogram), oldest first."""

    labels: dict[str, str]
    samples: list[tuple[int, Any]]


@dataclass(frozen=True)
class Exemplar:
    """One measured value and the span that shows it. seconds: when, since 1970."""

    trace_id: str
    span_id: str
    value: float
    seconds: float


class Prometheus(Server):
    """Keeps its data over restarts. endpoint: base of its OTLP/HTTP receiver."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.endpoint = f"{self.url}/api/v1/otlp"
        config = folder / "prometheus.yml"
        config.write_text("{}\n")
        arguments = [
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'prometheus'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--web.enable-otlp-receiver",
            "--enable-feature=exemplar-storage",
        ]
        super().__init__("prometheus", folder, arguments, f"{self.url}/-/ready")

    def value(self, expression: str) -> float | None:
        """The one value of an expression now; None when there is no series."""
        found = self._query(expression)
        assert len(found) <= 1, f"{expression} is {len(found)} series"
        return float(found[0]["value"][1]) if found else None

    def values(self, expression: str, label: str) -> dict[str, float]:
        """The values of an expression now by one label, which has to tell its series apart."""
        found = self._query(expression)
        values = {each["metric"].get(label, ""): float(each["value"][1]) for each in found}
        assert len(values) == len(found), f"{expression}: {label} does not tell its series apart"
        return values

    def series(self, selector: str) -> list[Series]:
        """Every sample of the last hour of the selected series."""
        return [
            Series(each["metric"], [(round(at * 1e3), value) for key in ("values", "histograms")
                                    for at, value in each.get(key, ())])
            for each in self._query(f"{selector}[1h]")
        ]  # fmt: skip

    def exemplars(self, selector: str) -> list[Exemplar]:
        """All exemplars that it still holds of the selected series."""
        found = get(f"{self.url}/api/v1/query_exemplars", query=selector, start="0", end=str(round(time.time()) + 60))
        return [
            Exemplar(each["labels"]["trace_id"], each["labels"]["span_id"], float(each["value"]), each["timestamp"])
            for series in found["data"] for each in series["exemplars"]
        ]  # fmt: skip

    def _query(self, expression: str) -> list[Any]:
        found: list[Any] = get(f"{self.url}/api/v1/query", query=expression)["data"]["result"]
        return found
