"""Receivers as the options name them: what is refused, and what is never shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent import config
from agent.config import Settings
from agent.errors import ConfigurationError
from agent.export.destination import Nowhere
from agent.export.receivers.alertmanager import replicas
from agent.export.receivers.configured import receivers
from agent.export.receivers.cooldown import Cooldown
from agent.export.receivers.receiver import Receiver
from tests.export.receivers.people import SPEAKER, options

SECRETS = ("webhook_url", "webhook_secret", "slack_url", "pagerduty_key", "pagerduty_url", "retrain_url",
           "retrain_token", "alertmanager_authorization")  # fmt: skip


def _built(**values: Any) -> dict[str, Receiver | Nowhere]:
    return dict(receivers(options(**values), SPEAKER, Cooldown(60)))


def test_without_options_alerts_go_nowhere_else() -> None:
    """Each says what would have to be set."""
    for way in _built().values():
        assert isinstance(way, Nowhere)
        assert way.reason.endswith("is unset")
    assert replicas(Settings()) == []


@pytest.mark.parametrize("name", ["webhook_url", "slack_url", "retrain_url"])
@pytest.mark.parametrize(
    "url", ["hooks.example/secret", "ftp://hooks.example/secret", "https:///secret", "http://h:x/"]
)
def test_what_is_no_url_stops_the_start(name: str, url: str) -> None:
    """The error names the variable and hides the value: a path is often a password."""
    with pytest.raises(ConfigurationError, match=f"SIDELIGHT_{name.upper()}") as raised:
        _built(**{name: url})
    assert "secret" not in str(raised.value)


def test_a_receivers_path_is_not_shown() -> None:
    """Neither in the status nor where it is printed."""
    for name in ("webhook_url", "slack_url", "retrain_url"):
        way = _built(**{name: "https://u:p@hooks.example/T0/secret"})[name.removesuffix("_url")]
        assert isinstance(way, Receiver)
        assert way.shown == "https://hooks.example/…"
        assert "secret" not in repr(way)


def test_secrets_are_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the options nor the group show one."""
    for name in SECRETS:
        monkeypatch.setenv(f"SIDELIGHT_{name.upper()}", "https://hooks.example/hunter2")
    settings, _ = config.load()
    assert settings.slack_url.get_secret_value().endswith("hunter2")
    assert "hunter2" not in repr(settings) + str(config.options(settings))


@pytest.mark.parametrize("name", ["webhook_secret", "pagerduty_key", "retrain_token"])
def test_a_secret_comes_from_one_place(name: str, tmp_path: Path) -> None:
    """Value and file at once: nobody could say which counts. A file that is not there stops the start."""
    file = tmp_path / "secret"
    file.write_text("x")
    with pytest.raises(ConfigurationError, match=f"SIDELIGHT_{name.upper()}_FILE"):
        _built(**{name: "hunter2", f"{name}_file": str(file)})
    with pytest.raises(ConfigurationError, match=f"SIDELIGHT_{name.upper()}_FILE.*readable"):
        options(**{f"{name}_file": str(tmp_path / "gone")})


@pytest.mark.parametrize("name", ["retrain_token", "alertmanager_authorization"])
def test_a_secret_that_no_header_can_carry_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the start, by its variable, without its value."""
    monkeypatch.setenv(f"SIDELIGHT_{name.upper()}", "hunter2\nX-Evil: 1")
    with pytest.raises(ConfigurationError, match=f"SIDELIGHT_{name.upper()}.*printable") as raised:
        config.load()
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(("template", "url", "pipeline", "said"), [
    ("airflow", "https://a/api/v2/dags/fares", "", "SIDELIGHT_RETRAIN_URL.*/dagRuns"),
    ("argo", "https://a/hooks", "", "SIDELIGHT_RETRAIN_URL.*/api/v1/events/"),
    ("github", "https://api.github.com/repos/o/r", "", "SIDELIGHT_RETRAIN_URL.*/dispatches"),
    ("kubeflow", "https://k/apis/v1beta1/runs", "p", "SIDELIGHT_RETRAIN_URL.*/apis/v2beta1/runs"),
    ("kubeflow", "https://k/apis/v2beta1/runs", "", "SIDELIGHT_RETRAIN_PIPELINE"),
])  # fmt: skip
def test_a_template_that_does_not_fit_is_refused(template: str, url: str, pipeline: str, said: str) -> None:
    """At the start, with what was expected: not at the first drift, months later."""
    with pytest.raises(ConfigurationError, match=said):
        _built(retrain_template=template, retrain_url=url, retrain_pipeline=pipeline)


def test_alertmanagers_are_named_by_their_base(monkeypatch: pytest.MonkeyPatch) -> None:
    """With or without the API's path, behind a prefix too; each once."""
    monkeypatch.setenv(
        "SIDELIGHT_ALERTMANAGER_URLS", "http://a:9093, http://b:9093/am/,http://c/api/v2/alerts,http://a:9093"
    )
    found = replicas(Settings())
    assert [(each.signal, each.address) for each in found] == [
        ("alertmanager-1", "http://a:9093/api/v2/alerts"), ("alertmanager-2", "http://b:9093/am/api/v2/alerts"),
        ("alertmanager-3", "http://c/api/v2/alerts"),
    ]  # fmt: skip


@pytest.mark.parametrize("url", ["http://u:hunter2@a:9093", "http://a:9093/?token=hunter2", "a:9093"])
def test_an_alertmanager_with_a_secret_in_its_url_is_refused(url: str) -> None:
    """This option is shown: secrets have their own."""
    with pytest.raises(ConfigurationError, match="SIDELIGHT_ALERTMANAGER_URLS") as raised:
        replicas(options(alertmanager_urls=(url,)))
    assert "hunter2" not in str(raised.value)
