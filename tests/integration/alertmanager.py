"""Alertmanager without a cluster, and its query API."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from deploy.backends import build
from tests.integration.servers import Server, get
from tests.ports import free_port


def documented() -> Any:
    """The configuration that docs/alerts.md shows."""
    page = (Path(build.__file__).parents[2] / "docs" / "alerts.md").read_text(encoding="utf-8")
    (block,) = [each for each in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "inhibit_rules" in each]
    return yaml.safe_load(block)


class Alertmanager(Server):
    """Forgets its alerts when it stops. url: what the agent is told; hook: where it posts them to. It inhibits as
    docs/alerts.md says."""

    def __init__(self, folder: Path, hook: str) -> None:
        folder.mkdir()
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        at_once = {"group_wait": "1s", "group_interval": "1s", "repeat_interval": "1h"}
        config = {
            "route": {"receiver": "hook", "group_by": ["alertname"], **at_once},
            "inhibit_rules": documented()["inhibit_rules"],
            "receivers": [{"name": "hook", "webhook_configs": [{"url": hook, "send_resolved": True}]}],
        }
        path = folder / "alertmanager.yml"
        path.write_text(json.dumps(config, indent=1))  # JSON is YAML
        arguments = [
            f"--config.file={path}", f"--storage.path={folder / 'alertmanager'}", "--cluster.listen-address=",
            f"--web.listen-address=127.0.0.1:{port}",
        ]  # fmt: skip
        super().__init__("alertmanager", folder, arguments, f"{self.url}/-/ready")

    def alerts(self) -> list[dict[str, Any]]:
        """What fires now, as its API has it."""
        found: list[dict[str, Any]] = get(f"{self.url}/api/v2/alerts")
        return found
