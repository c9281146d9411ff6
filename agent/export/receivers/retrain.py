"""The retrain trigger: the cause of an alert, in the request that starts a pipeline where pipelines are run."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import xxhash

from agent.config import Settings
from agent.errors import ConfigurationError
from agent.export.receivers.receiver import Credential, Sealed, Speaker, alert_name, cut, features
from agent.export.receivers.webhook import SIGNATURE, signature
from agent.records import Event

TEXT_MAX, NAME_MAX = 2_000, 200
EVENT_TYPE = "sidelight-retrain"
Cause = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Template:
    """How one kind of receiver wants to be asked. path: what its URL's path must hold; known: statuses that say that it
    was asked already."""

    path: str
    body: Callable[[Cause, str], Any]
    headers: tuple[tuple[str, str], ...] = ()
    known: frozenset[int] = frozenset()


def cause(event: Event, speaker: Speaker) -> dict[str, Any]:
    """Why to retrain. Ten properties, as many as GitHub takes; never a feature's value.

    key: of the event, and of this agent: the same trigger twice has the same.
    """
    of = event.attributes
    return {
        "key": xxhash.xxh3_128_hexdigest("\0".join((*speaker.named().values(), event.key)).encode()),
        "alert": alert_name(event),
        "severity": event.severity,
        "model": of.get("sidelight.model.name"),
        "version": of.get("sidelight.model.version"),
        "since": of.get("sidelight.alert.start"),
        "features": [cut(str(f.get("name", "")), NAME_MAX) for f in features(event)],
        "reference": of.get("sidelight.reference.hash"),
        "said": cut(event.body, TEXT_MAX),
        "source": speaker.named(),
    }


def _airflow(said: Cause, _: str) -> Any:
    return {"dag_run_id": f"sidelight-{said['key']}", "logical_date": None, "conf": said}


def _kubeflow(said: Cause, pipeline: str) -> Any:
    pipeline_id, _, version_id = pipeline.partition("/")
    which = {"pipeline_id": pipeline_id} | ({"pipeline_version_id": version_id} if version_id else {})
    name = cut(f"sidelight-{said['model']}-{str(said['key'])[:8]}", NAME_MAX)
    return {
        "display_name": name, "pipeline_version_reference": which,
        "runtime_config": {"parameters": {"sidelight": said}},
    }  # fmt: skip


TEMPLATES: Mapping[str, Template] = {
    "webhook": Template("/", lambda said, _: said),
    "airflow": Template("/dagRuns", _airflow, known=frozenset({409})),
    "argo": Template("/api/v1/events/", lambda said, _: said),
    "kubeflow": Template("/apis/v2beta1/runs", _kubeflow),
    "github": Template(
        "/dispatches",
        lambda said, _: {"event_type": EVENT_TYPE, "client_payload": said},
        headers=(("Accept", "application/vnd.github+json"), ("X-GitHub-Api-Version", "2022-11-28")),
    ),
}


def template(settings: Settings) -> Template:
    """The one that was chosen. Raises ConfigurationError where URL or pipeline do not fit it."""
    name = settings.retrain_template
    found = TEMPLATES[name]
    path = urlsplit(settings.retrain_url.get_secret_value()).path or "/"
    if found.path not in path:
        expected = f"a URL with {found.path} in its path, as SIDELIGHT_RETRAIN_TEMPLATE is {name}"
        raise ConfigurationError("SIDELIGHT_RETRAIN_URL", "(hidden)", expected)
    if name == "kubeflow" and not settings.retrain_pipeline.partition("/")[0]:
        expected = "a pipeline's id, as SIDELIGHT_RETRAIN_TEMPLATE is kubeflow"
        raise ConfigurationError("SIDELIGHT_RETRAIN_PIPELINE", settings.retrain_pipeline, expected)
    return found


def body(event: Event, speaker: Speaker, of: Template, pipeline: str) -> bytes:
    return json.dumps(of.body(cause(event, speaker), pipeline)).encode()


def sealed(of: Template, token: Credential, signing: Credential) -> Callable[[bytes, int], Sealed]:
    """Adds the token, and the webhook's signature where it is our own webhook that is asked."""

    def seal(payload: bytes, seconds: int) -> Sealed:
        bearer, key = token.read(), signing.read() if of is TEMPLATES["webhook"] else ""
        headers = list(of.headers)
        if bearer:
            headers.append(("Authorization", f"Bearer {bearer}"))
        if key:
            headers.append((SIGNATURE, signature(key, seconds, payload)))
        return Sealed(payload, tuple(headers), bearer)

    return seal
