"""The example pod: valid by Kubernetes' own schema, as secure as it says, never a risk to the model beside it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from agent import config
from agent.export import resource

ROOT = Path(__file__).resolve().parents[2]
UNITS = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}
Yaml = dict[str, Any]


@pytest.fixture(scope="module")
def pod() -> Yaml:
    """The manifest as Kubernetes reads it."""
    loaded: Yaml = yaml.safe_load((ROOT / "deploy" / "kubernetes" / "pod.yaml").read_text())
    return loaded


@pytest.fixture
def sidecar(pod: Yaml) -> Yaml:
    """The agent's container."""
    found: list[Yaml] = pod["spec"]["initContainers"]
    assert [container["name"] for container in found] == ["sidelight"]
    return found[0]


@pytest.fixture
def model(pod: Yaml) -> Yaml:
    """The model server's container."""
    found: list[Yaml] = pod["spec"]["containers"]
    assert len(found) == 1
    return found[0]


def _bytes(quantity: str) -> int:
    return int(quantity[:-2]) * UNITS[quantity[-2:]]


def _values(container: Yaml) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in container["env"] if "value" in entry}


@pytest.mark.parametrize("version", ["1.29", "1.33", kubernetes_validate.latest_version()])
def test_the_schema_accepts_it(pod: Yaml, version: str) -> None:
    """No field is misspelt or of the wrong type, from the first version with native sidecars to the newest known."""
    kubernetes_validate.validate(pod, version, strict=True)


def test_the_agent_is_a_native_sidecar(sidecar: Yaml) -> None:
    """An init container that is always restarted starts before the model, ends after it, and lets a Job complete."""
    assert sidecar["restartPolicy"] == "Always"


def test_both_containers_pass_the_restricted_pod_security_standard(pod: Yaml, sidecar: Yaml, model: Yaml) -> None:
    """Every rule of the standard that a pod must state: https://kubernetes.io/docs/concepts/security/pod-security-standards/."""
    shared = pod["spec"]["securityContext"]
    assert shared["runAsNonRoot"] is True
    assert shared["seccompProfile"] == {"type": "RuntimeDefault"}
    assert all(set(volume) == {"name", "emptyDir"} for volume in pod["spec"]["volumes"])
    for container in (sidecar, model):
        own = container["securityContext"]
        assert own["runAsUser"] > 0
        assert own["allowPrivilegeEscalation"] is False
        assert own["capabilities"] == {"drop": ["ALL"]}


def test_the_agent_writes_to_its_volumes_only(sidecar: Yaml) -> None:
    """The root is read-only; socket and state lie in mounted folders."""
    assert sidecar["securityContext"]["readOnlyRootFilesystem"] is True
    mounts = {mount["mountPath"] for mount in sidecar["volumeMounts"]}
    values = _values(sidecar)
    assert values["SIDELIGHT_STATE_DIR"] in mounts
    assert str(Path(values["SIDELIGHT_ENDPOINT"].removeprefix("unix:")).parent) in mounts


def test_the_model_can_open_the_socket_and_cannot_read_the_state(pod: Yaml, sidecar: Yaml, model: Yaml) -> None:
    """One volume, one path, one group for both; the group may write the socket; the state is the agent's alone."""
    assert pod["spec"]["securityContext"]["fsGroup"] > 0
    assert int(_values(sidecar)["SIDELIGHT_SOCKET_MODE"], 8) & 0o060 == 0o060
    assert _values(model)["SIDELIGHT_ENDPOINT"] == _values(sidecar)["SIDELIGHT_ENDPOINT"]
    socket = {"name": "sidelight-socket", "mountPath": "/run/sidelight"}
    assert socket in sidecar["volumeMounts"]
    assert model["volumeMounts"] == [socket]


def test_probes_can_reach_the_agent_and_never_take_the_model_out_of_service(sidecar: Yaml) -> None:
    """They come over the pod's address to the port the agent hears on; readiness is the model's alone to say."""
    host, _, port = _values(sidecar)["SIDELIGHT_HTTP"].rpartition(":")
    assert host == "0.0.0.0"
    assert {"name": "sidelight", "containerPort": int(port)} in sidecar["ports"]
    assert sidecar["startupProbe"]["httpGet"] == {"path": "/readyz", "port": "sidelight"}
    assert sidecar["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "sidelight"}
    assert "readinessProbe" not in sidecar


def test_the_volumes_are_bounded_and_hold_what_the_agent_may_write(pod: Yaml, monkeypatch: pytest.MonkeyPatch) -> None:
    """A volume beyond its limit evicts the pod: the agent's own bounds must be reached well before."""
    for name in config.Settings.fields:
        monkeypatch.delenv(f"SIDELIGHT_{name}".upper(), raising=False)
    limits = {volume["name"]: _bytes(volume["emptyDir"]["sizeLimit"]) for volume in pod["spec"]["volumes"]}
    settings = config.Settings()
    assert limits["sidelight-state"] >= 1.5 * (settings.journal_bytes_max + settings.spool_bytes_max)
    assert limits["sidelight-socket"] <= 1 << 20


def test_memory_is_reserved_and_limited_by_the_budgets(sidecar: Yaml) -> None:
    """Idle at most 100 MiB is asked for; the limit leaves room above the 160 MiB of a large model."""
    resources = sidecar["resources"]
    assert _bytes(resources["requests"]["memory"]) == 100 << 20
    assert _bytes(resources["limits"]["memory"]) >= 1.15 * (160 << 20)
    assert resources["requests"]["cpu"] == "50m"


def test_the_agent_knows_every_variable_it_is_given(sidecar: Yaml, monkeypatch: pytest.MonkeyPatch) -> None:
    """No SIDELIGHT_ variable is misspelt, and the values are ones the agent starts with."""
    values = _values(sidecar)
    assert config.unknown(values) == []
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    settings, _ = config.load()
    assert settings.http == values["SIDELIGHT_HTTP"]
    assert settings.socket_mode == 0o660


def test_resource_attributes_use_variables_that_come_before(
    sidecar: Yaml, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kubernetes leaves $(NAME) as it is when NAME stands later in the list; the pod is named."""
    names = [entry["name"] for entry in sidecar["env"]]
    attributes = _values(sidecar)["OTEL_RESOURCE_ATTRIBUTES"]
    before = names[: names.index("OTEL_RESOURCE_ATTRIBUTES")]
    assert set(re.findall(r"\$\((\w+)\)", attributes)) <= set(before)
    filled = re.sub(r"\$\((\w+)\)", lambda name: name[1].lower(), attributes)
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", filled)
    built = resource.build(config.load()[1], tmp_path)
    found = {pair.key: pair.value.string_value for pair in built.attributes}
    assert {"k8s.namespace.name", "k8s.node.name", "sidelight.model.cpu.limit_millicores"} <= set(found)
    assert found["service.instance.id"] == "k8s_pod_uid.sidelight"
    assert found["k8s.pod.name"] == "k8s_pod_name"
    assert re.search(r"\s", attributes) is None


def test_the_limits_it_is_told_are_those_of_the_model(sidecar: Yaml, model: Yaml) -> None:
    """The downward API names the model's container, and that container has such limits."""
    sources = [entry["valueFrom"] for entry in sidecar["env"] if "valueFrom" in entry]
    fields = [source["resourceFieldRef"] for source in sources if "resourceFieldRef" in source]
    assert {field["resource"] for field in fields} == {"limits.cpu", "limits.memory"}
    assert {field["containerName"] for field in fields} == {model["name"]}
    assert set(model["resources"]["limits"]) == {"cpu", "memory"}
