"""What deploy/ and docker-compose.yml say is valid, and agrees with itself."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kubernetes_validate
import pytest
import yaml

from claims import HandWorker
from pgqueue.config import parse_duration
from pgqueue.testing import travel

if TYPE_CHECKING:
    from conftest import Sql

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
VERSIONS = ("1.29", "1.33")


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((KUBERNETES / name).read_text("utf-8")))


def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8")))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["migrate.yaml", "worker.yaml"])
def test_kubernetes_would_take_the_manifest(name: str, version: str) -> None:
    for document in documents(name):
        kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("name", ["migrate.yaml", "worker.yaml"])
def test_a_pod_is_not_root_and_cannot_become_it(name: str) -> None:
    [document] = documents(name)
    pod = document["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    [container] = pod["containers"]
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert "10001" in (ROOT / "Dockerfile").read_text("utf-8")
    assert pod["securityContext"]["runAsUser"] == 10001


def test_a_worker_has_longer_to_stop_than_it_takes() -> None:
    [deployment] = documents("worker.yaml")
    pod = deployment["spec"]["template"]["spec"]
    [container] = pod["containers"]
    env = {each["name"]: each.get("value") for each in container["env"]}
    takes = parse_duration("timeout", env["PGQUEUE_SHUTDOWN_TIMEOUT"])
    assert pod["terminationGracePeriodSeconds"] >= takes + 5
    assert "lifecycle" not in container
    worker = compose()["services"]["worker"]
    takes = parse_duration("timeout", worker["environment"]["PGQUEUE_SHUTDOWN_TIMEOUT"])
    assert parse_duration("grace", worker["stop_grace_period"]) >= takes + 5


def test_the_deployment_selects_its_own_pods() -> None:
    [deployment] = documents("worker.yaml")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels


def test_the_scaler_names_the_deployment_and_the_secret() -> None:
    authentication, scaled = documents("scaledobject.yaml")
    [deployment] = documents("worker.yaml")
    assert (authentication["kind"], scaled["kind"]) == (
        "TriggerAuthentication",
        "ScaledObject",
    )
    assert scaled["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert scaled["spec"]["minReplicaCount"] <= scaled["spec"]["maxReplicaCount"]
    [trigger] = scaled["spec"]["triggers"]
    assert trigger["type"] == "postgresql"
    assert trigger["authenticationRef"]["name"] == authentication["metadata"]["name"]
    # KEDA refuses numbers that are no strings in a trigger's metadata.
    assert all(isinstance(value, str) for value in trigger["metadata"].values())


def test_the_scaler_has_no_field_that_keda_does_not_know() -> None:
    """By the names in KEDA's own definitions; a field that it does not know is dropped."""
    authentication, scaled = documents("scaledobject.yaml")
    for document in (authentication, scaled):
        assert document["apiVersion"] == "keda.sh/v1alpha1"
        assert document.keys() == {"apiVersion", "kind", "metadata", "spec"}
    [secret] = authentication["spec"].pop("secretTargetRef")
    assert secret.keys() == {"parameter", "name", "key"}
    # `connection` is what the scaler takes from a secret.
    assert secret["parameter"] == "connection"
    assert authentication["spec"] == {}
    spec = scaled["spec"]
    numbers = ("minReplicaCount", "maxReplicaCount", "pollingInterval")
    numbers += ("cooldownPeriod",)
    assert all(isinstance(spec.pop(name), int) for name in numbers)
    assert spec.keys() == {"scaleTargetRef", "triggers"}
    assert spec["scaleTargetRef"].keys() == {"name"}
    [trigger] = spec["triggers"]
    assert trigger.keys() == {"type", "metadata", "authenticationRef"}
    assert trigger["metadata"].keys() == {"query", "targetQueryValue"}
    assert float(trigger["metadata"]["targetQueryValue"]) > 0


def test_the_scaler_counts_what_waits_is_due_or_runs(sql: Sql, dsn: str) -> None:
    _, scaled = documents("scaledobject.yaml")
    query = scaled["spec"]["triggers"][0]["metadata"]["query"]
    assert sql.value(query) == 0
    sql.run("SELECT pgqueue.add('paint', 'swatch', '{}')")
    sql.run("SELECT pgqueue.add('paint', 'swatch', '{}', priority => 3)")
    sql.run("SELECT pgqueue.add('paint', 'later', '{}', delay => interval '1 hour')")
    sql.run("SELECT pgqueue.add('mail', 'welcome', '{}')")
    assert sql.value(query) == 2
    travel(hours=1, connection=sql.connection)
    assert sql.value(query) == 3
    worker = HandWorker(dsn, "paint")
    assert len(worker.claim(2)) == 2
    assert sql.value(query) == 3, "what runs needs its worker"
    worker.close()


def test_compose_starts_what_needs_the_tables_after_them() -> None:
    services = compose()["services"]
    for name in ("migrate", "prepare"):
        assert services[name]["depends_on"] == {
            "postgres": {"condition": "service_healthy"}
        }
    for name in ("worker", "web"):
        assert services[name]["depends_on"] == {
            "migrate": {"condition": "service_completed_successfully"},
            "prepare": {"condition": "service_completed_successfully"},
        }
        assert "healthcheck" in services[name]
    assert services["worker"]["deploy"]["replicas"] == 2
    assert "healthcheck" in services["postgres"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_would_take_the_unit(unit: Path, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    # Programs and users of an installation that this machine does not have.
    text = unit.read_text("utf-8").replace("/opt/myapp/bin/pgqueue", "/bin/true")
    (tmp_path / unit.name).write_text(text)
    name = unit.name.replace("@.", "@1.")
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / name)],
        check=False,
        capture_output=True,
        text=True,
        env={"SYSTEMD_LOG_LEVEL": "warning", "PATH": "/usr/bin:/bin"},
    )
    said = [line for line in checked.stderr.splitlines() if "pgqueue" in line]
    assert not said
    assert checked.returncode == 0, checked.stderr


def test_a_unit_waits_longer_than_a_stop_takes() -> None:
    text = (ROOT / "deploy/systemd/pgqueue-worker@.service").read_text("utf-8")
    fields = dict(
        part.split("=", 1)
        for line in text.splitlines()
        if not line.startswith("#")
        for part in line.removeprefix("Environment=").split()
        if "=" in part
    )
    takes = parse_duration("timeout", fields["PGQUEUE_SHUTDOWN_TIMEOUT"])
    assert parse_duration("stop", fields["TimeoutStopSec"]) >= takes + 5
