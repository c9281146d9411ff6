"""The receivers that the options name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from agent.config import Secret, Settings
from agent.export import spool
from agent.export.destination import Nowhere
from agent.export.receivers import pagerduty, retrain, slack, webhook
from agent.export.receivers.cooldown import Cooldown
from agent.export.receivers.receiver import Credential, Receiver, Sealed, Speaker, shown_url
from agent.records import Event


def receivers(settings: Settings, speaker: Speaker, cooldown: Cooldown) -> Mapping[str, Receiver | Nowhere]:
    """By signal. Raises ConfigurationError, which never shows a value that may be secret."""
    build: Mapping[str, Callable[[Settings, Speaker], Receiver | Nowhere]] = {
        spool.WEBHOOK: _webhook, spool.SLACK: _slack, spool.PAGERDUTY: _pagerduty,
        spool.RETRAIN: partial(_retrain, cooldown=cooldown),
    }  # fmt: skip
    return {signal: build[signal](settings, speaker) for signal in spool.RECEIVERS}


def _webhook(settings: Settings, speaker: Speaker) -> Receiver | Nowhere:
    secret = Credential.of(settings, "webhook_secret")
    if not settings.webhook_url.get_secret_value():
        return Nowhere("SIDELIGHT_WEBHOOK_URL is unset")
    url, shown = _url("SIDELIGHT_WEBHOOK_URL", settings.webhook_url)
    return Receiver(spool.WEBHOOK, url, shown, partial(webhook.body, speaker=speaker), webhook.sealed(secret))


def _slack(settings: Settings, speaker: Speaker) -> Receiver | Nowhere:
    if not settings.slack_url.get_secret_value():
        return Nowhere("SIDELIGHT_SLACK_URL is unset")
    url, shown = _url("SIDELIGHT_SLACK_URL", settings.slack_url)

    def body(event: Event) -> bytes:
        return slack.body(event, speaker, settings.runbook_url)

    return Receiver(spool.SLACK, url, shown, body, lambda payload, _: Sealed(payload))


def _pagerduty(settings: Settings, speaker: Speaker) -> Receiver | Nowhere:
    key = Credential.of(settings, "pagerduty_key")
    if not key:
        return Nowhere("SIDELIGHT_PAGERDUTY_KEY is unset")
    url, shown = _url("SIDELIGHT_PAGERDUTY_URL", settings.pagerduty_url)

    def body(event: Event) -> bytes:
        return pagerduty.body(event, speaker, settings.runbook_url)

    return Receiver(spool.PAGERDUTY, url, shown, body, pagerduty.sealed(key))


def _retrain(settings: Settings, speaker: Speaker, cooldown: Cooldown) -> Receiver | Nowhere:
    token, signing = Credential.of(settings, "retrain_token"), Credential.of(settings, "webhook_secret")
    if not settings.retrain_url.get_secret_value():
        return Nowhere("SIDELIGHT_RETRAIN_URL is unset")
    url, shown = _url("SIDELIGHT_RETRAIN_URL", settings.retrain_url)
    template = retrain.template(settings)

    def body(event: Event) -> bytes:
        return retrain.body(event, speaker, template, settings.retrain_pipeline)

    seal = retrain.sealed(template, token, signing)
    return Receiver(spool.RETRAIN, url, shown, body, seal, cooldown.when, template.known)


def _url(variable: str, value: Secret) -> tuple[str, str]:
    url = value.get_secret_value()
    return url, shown_url(variable, url)
